#ifndef KO_MANAGER_TEST_BODIES_H_
#define KO_MANAGER_TEST_BODIES_H_

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "absl/time/time.h"
#include "ko/manager/self.h"
#include "ko/os/shared_mapping.h"

// What the tests of this folder let their children do, and share with them.

namespace ko {

inline constexpr int kSawShutdown = 42;

// Says that it is ready, and leaves in good order when it is asked to.
inline int ServeUntilShutdown(Self& self) {
  self.NotifyReady();
  while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
  return kSawShutdown;
}

// Says that it is ready, and hears no SIGTERM.
inline void IgnoreShutdown(Self& self) {
  self.NotifyReady();
  for (;;) ::pause();
}

// Dies of SIGTERM.
inline void SleepForEver() {
  for (;;) ::pause();
}

// Waits until a child of this process has ended, and leaves it to be reaped.
inline void AwaitExit(pid_t pid) {
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
}

// A value that a test's processes share, zeroed at first.
template <class T>
class Shared {
 public:
  Shared() : mapping_(os::SharedMapping::Create(sizeof(T)).value()) {}
  T& operator*() const { return *static_cast<T*>(mapping_.data()); }
  T* operator->() const { return &**this; }

 private:
  os::SharedMapping mapping_;
};

}  // namespace ko

#endif  // KO_MANAGER_TEST_BODIES_H_
