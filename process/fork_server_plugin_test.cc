#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "ko/process/fork_server.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Functions of libraries that are loaded while the program runs.

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class Plugin {
 public:
  Plugin() : library_(::dlopen("process/fork_server_plugin.so", RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(library_, nullptr) << ::dlerror();
    fork_triple_ = reinterpret_cast<ForkTriple*>(::dlsym(library_, "ForkTriple"));
  }
  ~Plugin() { ::dlclose(library_); }

  absl::StatusOr<Child> Fork(const ForkServer& server, int number) const {
    const std::unique_ptr<absl::StatusOr<Child>> child(fork_triple_(server, number));
    return std::move(*child);
  }

 private:
  using ForkTriple = absl::StatusOr<Child>*(const ForkServer&, int);
  void* const library_;
  ForkTriple* fork_triple_;
};

class ForkServerPluginTest : public testing::LeakCheckedTest {};

TEST_F(ForkServerPluginTest, FunctionOfALibraryLoadedBeforeWorks) {
  const Plugin plugin;
  const absl::StatusOr<ForkServer> server = ForkServer::Start();
  absl::StatusOr<Child> child = plugin.Fork(*server, 5);
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(15)));
}

TEST_F(ForkServerPluginTest, FunctionOfALibraryLoadedSinceIsRefusedUntilRefresh) {
  absl::StatusOr<ForkServer> server = ForkServer::Start();
  const Plugin plugin;
  EXPECT_THAT(plugin.Fork(*server, 5), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("library")));
  EXPECT_THAT(server->Refresh(), IsOk());
  absl::StatusOr<Child> child = plugin.Fork(*server, 5);
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(15)));
}

TEST_F(ForkServerPluginTest, LibraryInThePlaceOfAnUnloadedOneIsRefused) {
  auto first = std::make_unique<Plugin>();
  const absl::StatusOr<ForkServer> server = ForkServer::Start();
  first = nullptr;
  const Plugin second;  // perhaps at the same address
  EXPECT_THAT(second.Fork(*server, 5), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("library")));
}

}  // namespace
}  // namespace ko
