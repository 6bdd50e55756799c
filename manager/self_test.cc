#include "ko/manager/self.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>
#include <utility>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/deadline.h"
#include "ko/process/test_end.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// The child's side. A body of these returns the line at which something was not as it should be.

namespace ko {
namespace {

using testing::AwaitState;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

#define CHECK_IN_CHILD(condition) \
  if (!(condition)) return absl::InternalError("line " + std::to_string(__LINE__) + ": " #condition)

class SelfTest : public testing::LeakCheckedTest {
 protected:
  static absl::Status Run(ManagedBody body) {
    ProcessManager manager;
    return EndOf(manager.Fork(std::move(body)).Wait());
  }
};

TEST_F(SelfTest, PidsAreThisProcesssAndTheManagers) {
  const pid_t manager = ::getpid();
  EXPECT_THAT(Run([manager](Self& self) {
                CHECK_IN_CHILD(self.pid() == ::getpid());
                CHECK_IN_CHILD(self.pid() != manager);
                CHECK_IN_CHILD(self.parent_pid() == manager);
                CHECK_IN_CHILD(self.attempt() == 1);
                return absl::OkStatus();
              }),
              IsOk());
}

// --- SIGTERM ---

// Every one of them is sent before the child can have run a line of its own.
TEST_F(SelfTest, SigtermSentAsForkReturnsIsNeverLostAndNeverKills) {
  ProcessManager manager;
  for (int i = 0; i < testing::Rounds(2000); ++i) {
    Process process = manager.Fork(ServeUntilShutdown);
    ASSERT_THAT(process.Kill(SIGTERM), IsOk());
    ASSERT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown))) << "in round " << i;
  }
}

TEST_F(SelfTest, SigtermKillsABodyWithoutSelf) {
  ProcessManager manager;
  for (int i = 0; i < 200; ++i) {
    Process process = manager.Fork(SleepForEver);
    ASSERT_THAT(process.Kill(SIGTERM), IsOk());
    ASSERT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM))) << "in round " << i;
  }
}

TEST_F(SelfTest, ShouldShutdownStaysTrue) {
  EXPECT_THAT(Run([](Self& self) {
                CHECK_IN_CHILD(!self.ShouldShutdown());
                ::raise(SIGTERM);
                CHECK_IN_CHILD(self.ShouldShutdown());
                CHECK_IN_CHILD(self.ShouldShutdown());
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, DispatchRunsTheHandlersOfThisProcess) {
  EXPECT_THAT(Run([](Self& self) -> absl::Status {
                int hangups = 0;
                if (absl::Status on = self.signals().On(SIGHUP, [&](const SignalInfo&) { ++hangups; });
                    !on.ok()) {
                  return on;
                }
                CHECK_IN_CHILD(self.Dispatch().value_or(-1) == 0);
                ::raise(SIGHUP);
                CHECK_IN_CHILD(hangups == 0);
                CHECK_IN_CHILD(self.Dispatch().value_or(-1) == 1);
                CHECK_IN_CHILD(hangups == 1);
                ::raise(SIGHUP);
                CHECK_IN_CHILD(!self.ShouldShutdown());
                CHECK_IN_CHILD(hangups == 2);
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, HandlersOfTheManagersProcessAreNotTheChilds) {
  ProcessManager manager;
  int calls = 0;
  ASSERT_THAT(manager.signals().On(SIGHUP, [&](const SignalInfo&) { ++calls; }), IsOk());
  Process process = manager.Fork([](Self& self) {
    self.NotifyReady();
    SleepForEver();
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Kill(SIGHUP), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGHUP)));
  EXPECT_EQ(calls, 0);
}

TEST_F(SelfTest, ParentsPendingSignalsAreNotTheChilds) {
  ProcessManager manager;
  int calls = 0;
  ASSERT_THAT(manager.signals().On(SIGHUP, [&](const SignalInfo&) { ++calls; }), IsOk());
  ::raise(SIGHUP);
  Process process = manager.Fork([](Self& self) { return static_cast<int>(self.signals().pending()); });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(calls, 1);
}

// --- Sleep ---

TEST_F(SelfTest, SleepLastsForTheWholeTime) {
  EXPECT_THAT(Run([](Self& self) {
                const absl::Duration start = os::MonotonicNow();
                CHECK_IN_CHILD(self.Sleep(absl::Milliseconds(30)));
                CHECK_IN_CHILD(os::MonotonicNow() - start >= absl::Milliseconds(30));
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, SleepOfNoTimeIsOver) {
  EXPECT_THAT(Run([](Self& self) {
                CHECK_IN_CHILD(self.Sleep(absl::ZeroDuration()));
                CHECK_IN_CHILD(self.Sleep(-absl::Seconds(1)));
                CHECK_IN_CHILD(self.Sleep(-absl::InfiniteDuration()));
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, SleepEndsWithASignalThatHasAHandler) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) {
    int hangups = 0;
    self.signals().On(SIGHUP, [&](const SignalInfo&) { ++hangups; }).IgnoreError();
    self.NotifyReady();
    CHECK_IN_CHILD(!self.Sleep(absl::InfiniteDuration()));
    CHECK_IN_CHILD(hangups == 1);
    CHECK_IN_CHILD(!self.ShouldShutdown());
    return absl::OkStatus();
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_TRUE(AwaitState(process.pid(), 'S'));
  ASSERT_THAT(process.Kill(SIGHUP), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(SelfTest, SleepEndsAtOnceWhenASignalCameBefore) {
  EXPECT_THAT(Run([](Self& self) {
                ::raise(SIGTERM);
                CHECK_IN_CHILD(!self.Sleep(absl::InfiniteDuration()));
                CHECK_IN_CHILD(!self.Sleep(absl::InfiniteDuration()));
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, SleepGoesOnAfterASignalWithoutAHandler) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &action, nullptr);
    self.NotifyReady();
    return self.Sleep(absl::InfiniteDuration()) ? 1 : kSawShutdown;
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(AwaitState(process.pid(), 'S'));
    ASSERT_THAT(process.Kill(SIGUSR1), IsOk());
  }
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SelfTest, InterruptFiresWhileASignalWaits) {
  EXPECT_THAT(Run([](Self& self) {
                CHECK_IN_CHILD(!self.interrupt().fired());
                const Interrupt before = self.interrupt();
                ::raise(SIGTERM);
                CHECK_IN_CHILD(before.fired());
                CHECK_IN_CHILD(self.ShouldShutdown());
                CHECK_IN_CHILD(!self.interrupt().fired());
                return absl::OkStatus();
              }),
              IsOk());
}

// --- The rest ---

TEST_F(SelfTest, TitleIsShown) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) {
    if (!self.SetProcessTitle("ko-test-child").ok()) return 1;
    return ServeUntilShutdown(self);
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(testing::StatusLine(process.pid(), "Name"), "ko-test-child");
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

// --- A manager of the child's own ---

TEST_F(SelfTest, ManagerInAChildWorksAndBothSeeSigterm) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) {
    ProcessManager inner;
    Process grandchild = inner.Spawn(ServeUntilShutdown);
    if (!grandchild.WaitReady().ok()) return 1;
    self.NotifyReady();
    if (!inner.Wait().ok()) return 2;
    if (grandchild.exit_status() != ExitStatus::Exited(kSawShutdown)) return 3;
    return self.ShouldShutdown() ? kSawShutdown : 4;
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SelfTest, SelfSeesSigtermAfterTheManagerInTheChildIsGone) {
  EXPECT_THAT(Run([](Self& self) {
                {
                  ProcessManager inner;
                  CHECK_IN_CHILD(inner.Fork([] {}).Wait().ok());
                }
                ::raise(SIGTERM);
                CHECK_IN_CHILD(self.ShouldShutdown());
                return absl::OkStatus();
              }),
              IsOk());
}

TEST_F(SelfTest, ParentsManagerUsedInTheChildIsAnEmptyWorkingOne) {
  ProcessManager manager;
  manager.SetStopPolicy({.grace = absl::Seconds(1)});
  manager.OnShutdown([] { ::_exit(77); });
  Process sibling = manager.Spawn(ServeUntilShutdown);
  sibling.OnExit([](const ExitStatus&) { ::_exit(78); });
  ASSERT_THAT(sibling.WaitReady(), IsOk());
  Process process = manager.Fork([&](Self&) {
    CHECK_IN_CHILD(manager.size() == 0);
    CHECK_IN_CHILD(!manager.HasAlive());
    CHECK_IN_CHILD(!manager.IsShuttingDown());
    CHECK_IN_CHILD(manager.Wait().ok());
    bool told = false;
    Process grandchild = manager.Fork([](Self& self) { return self.parent_pid() == ::getppid() ? 3 : 1; });
    grandchild.OnError([&](const ExitStatus&) { told = true; });
    CHECK_IN_CHILD(manager.size() == 1);
    CHECK_IN_CHILD(manager.Wait().ok());
    CHECK_IN_CHILD(told);
    CHECK_IN_CHILD(grandchild.exit_status() == ExitStatus::Exited(3));
    CHECK_IN_CHILD(manager.Shutdown().ok());
    return absl::OkStatus();
  });
  absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(status->ToStatus(), IsOk());
  EXPECT_THAT(sibling.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(manager.IsShuttingDown());
  // The handlers above are for the parent's own end, which is that of the test.
  manager = ProcessManager();
}

TEST_F(SelfTest, ManagersNestFiveDeep) {
  std::function<int(int)> nest = [&](int depth) {
    if (depth == 0) return 5;
    ProcessManager manager;
    const absl::StatusOr<ExitStatus> status = manager.Fork([&] { return nest(depth - 1); }).Wait();
    return status.ok() ? status->exit_code().value_or(1) : 2;
  };
  EXPECT_EQ(nest(5), 5);
}

}  // namespace
}  // namespace ko
