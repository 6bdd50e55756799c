#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_trace.h"
#include "ko/os/deadline.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"

// A manager that is killed: the kernel kills its children, at whatever instant it was. Orphans become the test's own
// children, so waiting until there is none left waits for every survivor, for ever if need be.

namespace ko {
namespace {

using testing::Gate;

class CrashTest : public testing::LeakCheckedTest {
 protected:
  // In a child that becomes a manager's process.
  template <class Run>
  static pid_t ForkManager(Run run) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      run();
      ::_exit(1);  // they are to be killed before
    }
    return pid;
  }

  // What a child exits with that found its manager dead before it ran its body.
  static constexpr int kNeverRan = 127;

  // Reaps the manager's process and all its orphans; how many they were. Each must have been killed, or never have run.
  static int ReapAllKilled() {
    for (int count = 0;; ++count) {
      int status = 0;
      if (::waitpid(-1, &status, 0) < 0) {
        EXPECT_EQ(errno, ECHILD);
        return count;
      }
      EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
                  (WIFEXITED(status) && WEXITSTATUS(status) == kNeverRan))
          << "status " << status;
    }
  }
};

TEST_F(CrashTest, ChildrenOfAManagerThatIsKilledDieWithIt) {
  Gate all_run;
  const pid_t manager = ForkManager([&] {
    ProcessManager manager;
    for (int i = 0; i < 5; ++i) {
      if (!manager.Spawn(i % 2 == 0 ? IgnoreShutdown : +[](Self& self) { ServeUntilShutdown(self); })
               .WaitReady()
               .ok()) {
        return;
      }
    }
    all_run.Open();
    manager.Wait().IgnoreError();
  });
  all_run.CloseOpener();
  ASSERT_TRUE(all_run.Pass());
  ::kill(manager, SIGKILL);
  EXPECT_EQ(ReapAllKilled(), 1 + 5);
}

TEST_F(CrashTest, GrandchildrenUnderNestedManagersDieToo) {
  Gate all_run;
  const pid_t manager = ForkManager([&] {
    ProcessManager manager;
    for (int i = 0; i < 2; ++i) {
      Process nested = manager.Fork([](Self& self) {
        ProcessManager inner;
        for (int j = 0; j < 3; ++j) {
          if (!inner.Spawn(IgnoreShutdown).WaitReady().ok()) return;
        }
        self.NotifyReady();
        inner.Wait().IgnoreError();
      });
      if (!nested.WaitReady().ok()) return;
    }
    all_run.Open();
    manager.Wait().IgnoreError();
  });
  all_run.CloseOpener();
  ASSERT_TRUE(all_run.Pass());
  ::kill(manager, SIGKILL);
  EXPECT_EQ(ReapAllKilled(), 1 + 2 + 2 * 3);
}

// At each system call of a Fork: before the first one, before the second one, and so on, until it has made none more.
TEST_F(CrashTest, ManagerKilledAtAnyStepOfAForkLeavesNobody) {
  int steps = 0;
  for (bool finished = false; !finished; ++steps) {
    int step = 0;
    finished = Trace(
        [] {
          ProcessManager manager;
          manager.OnShutdown([] {});  // open it
          BeginTrace();
          manager.Fork(IgnoreShutdown);
          ::_exit(0);  // and its child dies with it
        },
        [&](pid_t pid, const TracedCall&) {
          if (step++ == steps) ::kill(pid, SIGKILL);
        });
    ReapAllKilled();
  }
  EXPECT_GT(steps, 10) << "a fork makes some";
}

// The same at instants between system calls, in the children's first steps too.
TEST_F(CrashTest, ManagerKilledAtAnyTimeWhileForkingLeavesNobody) {
  for (int round = 0; round < 300; ++round) {
    Gate started;
    const pid_t manager = ForkManager([&] {
      ProcessManager manager;
      started.Open();
      for (int i = 0; i < 50; ++i) manager.Fork(IgnoreShutdown);
      manager.Wait().IgnoreError();
    });
    started.CloseOpener();
    ASSERT_TRUE(started.Pass());
    const absl::Duration at = os::MonotonicNow() + absl::Microseconds(7 * round);
    while (os::MonotonicNow() < at) {
    }
    ::kill(manager, SIGKILL);
    EXPECT_GE(ReapAllKilled(), 1);
  }
}

}  // namespace
}  // namespace ko
