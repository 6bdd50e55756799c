#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "absl/functional/function_ref.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// ProcessManager::Daemonize: the manager goes on in the daemon. What a daemon is otherwise is tested beside Daemonize.

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::InChildResult;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class DaemonizeManagerTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    daemon_pid_.emplace();
  }
  void TearDown() override {
    daemon_pid_.reset();
    LeakCheckedTest::TearDown();
  }

  // Runs `daemon` in the daemon that `manager` makes of its process, which exits with what that returns; Daemonize having
  // failed, with 2.
  void Command(ProcessManager& manager, absl::FunctionRef<int()> daemon) {
    absl::StatusOr<DaemonLaunch> launch = manager.Daemonize();
    if (!launch.ok()) ::_exit(2);
    ::alarm(60);  // ends one that a dying test leaves
    **daemon_pid_ = ::getpid();
    ::_exit(launch->Ready().ok() ? daemon() : 3);
  }

  // The exit code of the daemon that `command` comes to, which is this process's child in the end: orphans are adopted.
  int DaemonOf(absl::FunctionRef<void()> command) {
    const InChildResult launcher = InChild([&] { command(); });
    EXPECT_EQ(launcher.exit_code, 0) << launcher.err;
    int status = -1;
    EXPECT_EQ(::waitpid(**daemon_pid_, &status, 0), **daemon_pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  std::optional<Shared<pid_t>> daemon_pid_;
};

TEST_F(DaemonizeManagerTest, RefusedWhileChildrenLiveAndTheyAreLeftAlone) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  EXPECT_THAT(manager.Daemonize(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1 child")));
  EXPECT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(DaemonizeManagerTest, ChildrenForkedInTheDaemonAreTheDaemons) {
  EXPECT_EQ(DaemonOf([&] {
              ProcessManager manager;
              EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk()) << "used before";
              Command(manager, [&] {
                Process process =
                    manager.Fork([](Self& self) { return self.parent_pid() == ::getppid() ? 3 : 1; });
                const absl::StatusOr<ExitStatus> status = process.Wait();
                return status.ok() && *status == ExitStatus::Exited(3) && manager.Wait().ok() ? 0 : 10;
              });
            }),
            0);
}

TEST_F(DaemonizeManagerTest, ShutdownHandlersFromBeforeRunInTheDaemon) {
  EXPECT_EQ(DaemonOf([&] {
              ProcessManager manager;
              int told = 0;
              manager.OnShutdown([&] { ++told; });
              Command(manager, [&] {
                manager.OnShutdown([&] { told += 10; });
                Process process = manager.Spawn(ServeUntilShutdown);
                ::raise(SIGTERM);
                if (!manager.Wait().ok()) return 10;
                return process.exit_status() == ExitStatus::Exited(kSawShutdown) ? told : 12;
              });
            }),
            11);
}

TEST_F(DaemonizeManagerTest, SigtermRightAfterItFindsTheHandlersFromBefore) {
  EXPECT_EQ(DaemonOf([&] {
              ProcessManager manager;
              int told = 0;
              manager.OnShutdown([&] { ++told; });
              Command(manager, [&] {
                ::raise(SIGTERM);
                return manager.Dispatch().ok() ? told : 10;
              });
            }),
            1);
}

TEST_F(DaemonizeManagerTest, EndsOfBeforeAreStillKnownAndTold) {
  EXPECT_EQ(DaemonOf([&] {
              ProcessManager manager;
              Process process = manager.Fork([] { return 3; });
              EXPECT_THAT(process.Wait(), IsOk());
              int told = 0;
              process.OnError([&](const ExitStatus&) { ++told; });
              Command(manager, [&] {
                if (!process.Wait().ok()) return 10;
                return process.exit_status() == ExitStatus::Exited(3) ? told : 11;
              });
            }),
            1);
}

TEST_F(DaemonizeManagerTest, FailureLeavesTheManagerInOrder) {
  InChild([&] {
    ProcessManager manager;
    manager.OnShutdown([] {});
    EXPECT_THAT(manager.Daemonize({.working_directory = "/no such folder"}),
                StatusIs(absl::StatusCode::kNotFound));
    Process process = manager.Fork(ServeUntilShutdown);
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

// The parent's children are no reason for a forked child not to become a daemon, and not the daemon's either.
TEST_F(DaemonizeManagerTest, InAForkedChildTheParentsChildrenDoNotCount) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  EXPECT_EQ(DaemonOf([&] {
              Command(manager, [&] {
                if (manager.size() != 0 || !manager.Wait().ok()) return 10;
                return manager.Fork([] {}).Wait().ok() ? 0 : 11;
              });
            }),
            0);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

}  // namespace
}  // namespace ko
