#include "ko/os/c_library_fork.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <variant>

#include "absl/base/config.h"
#include "ko/os/fork.h"
#include "ko/os/pidfd.h"
#include "ko/os/signal_mask.h"
#include "ko/testing/leaks.h"

// A library that registers handlers with the C library, loaded while the program runs.

namespace ko::os {
namespace {

class CLibraryForkTest : public testing::LeakCheckedTest {};

int CodeOfAChild(int (*body)()) {
  std::variant<ForkedProcess, StartFailure> forked;
  {
    const ScopedAllSignalsBlocked blocked;
    forked = ForkWithPidfd(Handlers::kReset);
  }
  const auto& process = std::get<ForkedProcess>(forked);
  if (process.pid == 0) ::_exit(body());
  return Reap(process.pidfd.get(), /*block=*/true).value().value().value;
}

TEST_F(CLibraryForkTest, IsNeededWhileAnObjectIsLoadedThatRegistersHandlers) {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_MEMORY_SANITIZER) || \
    defined(ABSL_HAVE_THREAD_SANITIZER)
  constexpr bool kNeededBefore = true;
#else
  constexpr bool kNeededBefore = false;
#endif
  EXPECT_EQ(NeedsCLibraryFork(), kNeededBefore);
  void* const library = ::dlopen("os/atfork_plugin.so", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  EXPECT_TRUE(NeedsCLibraryFork());
  static auto* const count = static_cast<int*>(::dlsym(library, "forked_times"));
  ASSERT_NE(count, nullptr);
  EXPECT_EQ(CodeOfAChild([] { return *count; }), 1) << "its handler runs in the child";
  EXPECT_EQ(*count, 0);
  EXPECT_EQ(::dlclose(library), 0);
  EXPECT_EQ(NeedsCLibraryFork(), kNeededBefore);
}

}  // namespace
}  // namespace ko::os
