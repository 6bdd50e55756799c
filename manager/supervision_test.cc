#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/deadline.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

// Spawn: what is started again, when, how often, and what ends it for good. The policy's arithmetic is in
// restart_policy_test.cc.

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
using When = RestartPolicy::When;

class SupervisionTest : public testing::LeakCheckedTest {
 protected:
  static RestartPolicy AtOnce(When when = When::kOnFailure, int max_restarts = 10) {
    return {.when = when,
            .initial_delay = absl::ZeroDuration(),
            .max_delay = absl::Milliseconds(1),
            .max_restarts = max_restarts};
  }
  // Never within the life of a test.
  static RestartPolicy MuchLater() {
    return {.initial_delay = absl::Hours(1), .max_delay = absl::Hours(1), .jitter = 0};
  }
  // Until it waits for its next attempt.
  static void AwaitBackoff(ProcessManager& manager, const Process& process) {
    while (process.pid() != 0) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  }
};

// --- Again ---

TEST_F(SupervisionTest, FailureIsStartedAgainAsTheSameProcessWithANewPid) {
  ProcessManager manager;
  const Shared<std::atomic<int>> runs;
  std::set<pid_t> pids;
  Process process = manager.Spawn(
      [&](Self& self) {
        if (runs->fetch_add(1) + 1 != self.attempt()) return 99;
        self.NotifyReady();
        return self.attempt() <= 4 ? 3 : 0;
      },
      AtOnce());
  process.OnReady([&] { pids.insert(process.pid()); });
  pids.insert(process.pid());
  EXPECT_EQ(process.restarts(), 0);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 4);
  EXPECT_EQ(runs->load(), 5);
  EXPECT_FALSE(process.IsAlive());
}

TEST_F(SupervisionTest, RunningAttemptHasANewPid) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, AtOnce());
  ASSERT_THAT(process.WaitReady(), IsOk());
  const pid_t first = process.pid();
  ASSERT_THAT(process.Kill(SIGKILL), IsOk());
  while (process.restarts() == 0 || process.pid() == 0)
    ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  EXPECT_NE(process.pid(), first);
  EXPECT_EQ(testing::Children(), std::vector<pid_t>{process.pid()});
}

TEST_F(SupervisionTest, EachAttemptRunsFromTheStateTheBodyHadInTheParent) {
  ProcessManager manager;
  Process process = manager.Spawn([count = 0](Self& self) mutable { return ++count + self.attempt() * 10; },
                                  AtOnce(When::kOnFailure, 2));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(31)));
}

TEST_F(SupervisionTest, KilledProcessIsStartedAgain) {
  ProcessManager manager;
  for (const int signo : {SIGKILL, SIGTERM, SIGSEGV}) {
    int ends = 0;
    Process process = manager.Spawn(
        [](Self& self) {
          ::signal(SIGTERM, SIG_DFL);
          self.NotifyReady();
          if (self.attempt() == 1) SleepForEver();
        },
        AtOnce());
    process.OnError([&](const ExitStatus& status) {
      ++ends;
      EXPECT_EQ(status.term_signal(), signo);
    });
    ASSERT_THAT(process.WaitReady(), IsOk());
    EXPECT_THAT(process.Kill(signo), IsOk());
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
    EXPECT_EQ(process.restarts(), 1);
    EXPECT_EQ(ends, 1);
  }
}

TEST_F(SupervisionTest, SuccessIsTheEndByDefault) {
  ProcessManager manager;
  Process process = manager.Spawn([] {});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 0);
}

TEST_F(SupervisionTest, AlwaysStartsASuccessAgain) {
  ProcessManager manager;
  int successes = 0;
  Process process = manager.Spawn([] {}, AtOnce(When::kAlways, 3));
  process.OnSuccess([&] { ++successes; });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 3);
  EXPECT_EQ(successes, 4);
}

TEST_F(SupervisionTest, NeverStartsNothingAgain) {
  ProcessManager manager;
  Process process = manager.Spawn([] { return 3; }, AtOnce(When::kNever));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(process.restarts(), 0);
}

TEST_F(SupervisionTest, LimitIsTheEndWithTheLastStatus) {
  ProcessManager manager;
  Process process = manager.Spawn([](Self& self) { return self.attempt(); }, AtOnce(When::kOnFailure, 5));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(6)));
  EXPECT_EQ(process.restarts(), 5);
  EXPECT_FALSE(manager.HasAlive());
}

TEST_F(SupervisionTest, DelayIsKept) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [] { return 3; },
      {.initial_delay = absl::Milliseconds(60), .jitter = 0, .max_restarts = 2, .window = absl::Hours(1)});
  const absl::Duration start = os::MonotonicNow();
  EXPECT_THAT(process.Wait(), IsOk());
  EXPECT_GE(os::MonotonicNow() - start, absl::Milliseconds(60 + 120));
}

TEST_F(SupervisionTest, SeveralAreStartedAgainIndependently) {
  ProcessManager manager;
  std::vector<Process> processes;
  for (int i = 0; i < 20; ++i) {
    processes.push_back(manager.Spawn([i](Self& self) { return self.attempt() <= i % 5 ? 3 : 0; }, AtOnce()));
  }
  ASSERT_THAT(manager.Wait(), IsOk());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(processes[i].restarts(), i % 5);
}

// --- At the limit, and exit codes that decide ---

TEST_F(SupervisionTest, EscalationStopsTheOthersAndWaitSaysWhy) {
  ProcessManager manager;
  Process other = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(other.WaitReady(), IsOk());
  RestartPolicy policy = AtOnce(When::kOnFailure, 2);
  policy.at_limit = RestartPolicy::AtLimit::kEscalate;
  int shutdowns = 0;
  manager.OnShutdown([&] { ++shutdowns; });
  Process failing = manager.Spawn([] { return 7; }, policy);
  EXPECT_THAT(manager.Wait(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 3: exited with code 7")));
  EXPECT_EQ(shutdowns, 1);
  EXPECT_TRUE(manager.IsShuttingDown());
  EXPECT_EQ(failing.restarts(), 2);
  EXPECT_EQ(other.exit_status(), ExitStatus::Exited(kSawShutdown));
}

TEST_F(SupervisionTest, EscalationInAManagedManagerBecomesTheEndOfItsProcess) {
  ProcessManager manager;
  RestartPolicy policy = AtOnce(When::kOnFailure, 1);
  policy.at_limit = RestartPolicy::AtLimit::kEscalate;
  Process process = manager.Fork([policy] {
    ProcessManager inner;
    inner.Spawn(ServeUntilShutdown);
    inner.Spawn([] { return 7; }, policy);
    return inner.Wait();
  });
  const absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 7")));
}

TEST_F(SupervisionTest, GivingUpLeavesTheOthersRunning) {
  ProcessManager manager;
  Process other = manager.Spawn(ServeUntilShutdown);
  Process failing = manager.Spawn([] { return 7; }, AtOnce(When::kOnFailure, 2));
  EXPECT_THAT(failing.Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
  ASSERT_THAT(other.WaitReady(), IsOk());
  EXPECT_FALSE(manager.IsShuttingDown());
  EXPECT_THAT(manager.Shutdown(), IsOk());
}

TEST_F(SupervisionTest, HoldGoesOnBeyondTheLimit) {
  ProcessManager manager;
  RestartPolicy policy = AtOnce(When::kOnFailure, 1);
  policy.at_limit = RestartPolicy::AtLimit::kHold;
  Process process = manager.Spawn([](Self& self) { return self.attempt() < 6 ? 3 : 0; }, policy);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 5);
}

TEST_F(SupervisionTest, PreventedCodeIsTheEndAndForcedCodeIsNot) {
  ProcessManager manager;
  RestartPolicy policy = AtOnce(When::kOnFailure);
  policy.prevent_codes = {78};
  policy.force_codes = {0};
  Process process = manager.Spawn([](Self& self) { return self.attempt() < 3 ? 0 : 78; }, policy);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(78)));
  EXPECT_EQ(process.restarts(), 2);
}

TEST_F(SupervisionTest, OnAbnormalEndASignalStartsAgainAndACodeDoesNot) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() == 1) ::raise(SIGKILL);
        return 3;
      },
      AtOnce(When::kOnAbnormalEnd));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(process.restarts(), 1);
}

// --- Readiness over restarts ---

TEST_F(SupervisionTest, EachAttemptIsReadyAnew) {
  ProcessManager manager;
  int ready = 0;
  Process process = manager.Spawn(ServeUntilShutdown, AtOnce());
  process.OnReady([&] { ++ready; });
  for (int attempt = 1; attempt <= 5; ++attempt) {
    EXPECT_FALSE(process.IsReady());
    ASSERT_THAT(process.WaitReady(), IsOk());
    EXPECT_TRUE(process.IsReady());
    EXPECT_EQ(ready, attempt);
    ASSERT_THAT(process.Kill(SIGKILL), IsOk());
    while (process.restarts() < attempt) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  }
}

TEST_F(SupervisionTest, WaitReadyBetweenAttemptsWaitsForTheNextOne) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() == 1) return 3;
        return ServeUntilShutdown(self);
      },
      {.initial_delay = absl::Milliseconds(20)});
  AwaitBackoff(manager, process);
  EXPECT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(process.restarts(), 1);
}

TEST_F(SupervisionTest, WaitReadyOfAnAttemptThatDiesIsAbortedAlthoughAnotherWillFollow) {
  ProcessManager manager;
  Process process = manager.Spawn([](Self&) { return 3; }, MuchLater());
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 3")));
  EXPECT_TRUE(process.IsAlive());
}

// --- Between two attempts ---

TEST_F(SupervisionTest, BetweenAttemptsItIsAliveWithoutAPid) {
  ProcessManager manager;
  Process process = manager.Spawn([] { return 3; }, MuchLater());
  AwaitBackoff(manager, process);
  EXPECT_TRUE(process.IsAlive());
  EXPECT_EQ(manager.size(), 1u);
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(3)) << "of the last attempt";
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(manager.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(SupervisionTest, KillBetweenAttemptsDoesNothing) {
  ProcessManager manager;
  Process process = manager.Spawn([] { return 3; }, MuchLater());
  AwaitBackoff(manager, process);
  EXPECT_THAT(process.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(process.IsAlive());
}

TEST_F(SupervisionTest, StopBetweenAttemptsIsTheEndWithTheLastStatusToldOnce) {
  ProcessManager manager;
  int exits = 0;
  Process process = manager.Spawn([] { return 3; }, MuchLater());
  process.OnExit([&](const ExitStatus&) { ++exits; });
  AwaitBackoff(manager, process);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_FALSE(process.IsAlive());
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(exits, 1);
}

TEST_F(SupervisionTest, WhoAsksBetweenAttemptsIsToldOfTheEndThatAStopMakesOfTheLastOne) {
  ProcessManager manager;
  int early = 0, late = 0;
  Process process = manager.Spawn([] { return 3; }, MuchLater());
  process.OnExit([&](const ExitStatus&) { ++early; });
  AwaitBackoff(manager, process);
  process.OnSuccess([&] { ADD_FAILURE(); });
  process.OnError([&](const ExitStatus& status) {
    EXPECT_EQ(status, ExitStatus::Exited(3));
    ++late;
  });
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 1);
}

TEST_F(SupervisionTest, StopWhileAnExitIsStillUntoldIsToldOnce) {
  InChild([] {
    ProcessManager manager;
    int exits = 0;
    Process process = manager.Spawn([] { return 3; }, MuchLater());
    process.OnExit([&](const ExitStatus&) { ++exits; });
    AwaitExit(process.pid());
    // In one round: the exit is noticed, and then a signal's handler stops the process, before anybody is told.
    ASSERT_THAT(manager.signals().On(SIGUSR1, [&](const SignalInfo&) { process.Stop().IgnoreError(); }),
                IsOk());
    ::raise(SIGUSR1);
    ASSERT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(exits, 1);
  });
}

TEST_F(SupervisionTest, StopOfARunningAttemptIsTheEnd) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, AtOnce(When::kAlways));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  EXPECT_EQ(process.restarts(), 0);
  EXPECT_EQ(manager.size(), 0u);
}

TEST_F(SupervisionTest, HandlerOfAFailureMayStopIt) {
  ProcessManager manager;
  Process process = manager.Spawn([] { return 3; }, AtOnce());
  process.OnError([&](const ExitStatus&) {
    if (process.restarts() == 2) process.Stop().IgnoreError();
  });
  EXPECT_THAT(process.Wait(), IsOk());
  EXPECT_EQ(process.restarts(), 2);
}

TEST_F(SupervisionTest, ManagerMayBeDestroyedBetweenAttempts) {
  Process process;
  {
    ProcessManager manager;
    process = manager.Spawn([] { return 3; }, MuchLater());
    AwaitBackoff(manager, process);
  }
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

// --- The loop as a whole ---

// A crash loop without delays has always something to do.
TEST_F(SupervisionTest, EndlessCrashLoopDoesNotPutOffTheDeadlineOfAWait) {
  ProcessManager manager;
  manager.Fork(SleepForEver);
  for (int i = 0; i < 4; ++i) {
    manager.Spawn([] { return 3; }, {.initial_delay = absl::ZeroDuration(),
                                     .max_delay = absl::ZeroDuration(),
                                     .max_restarts = RestartPolicy::kUnlimited});
  }
  EXPECT_THAT(manager.Wait(absl::Milliseconds(100)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(SupervisionTest, SignalThatRaisesItselfDoesNotPutOffTheDeadlineOfAWait) {
  InChild([] {
    ProcessManager manager;
    manager.Fork(SleepForEver);
    ASSERT_THAT(manager.signals().On(SIGUSR1, [](const SignalInfo&) { ::raise(SIGUSR1); }), IsOk());
    ::raise(SIGUSR1);
    EXPECT_THAT(manager.Wait(absl::Milliseconds(20)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  });
}

TEST_F(SupervisionTest, InvalidPolicyIsAStartThatFailed) {
  ProcessManager manager;
  Process process = manager.Spawn([] {}, {.jitter = 2});
  const absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOkAndHolds(ExitStatus::NotStarted(EINVAL)));
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("jitter")));
  EXPECT_EQ(process.restarts(), 0);
}

}  // namespace
}  // namespace ko
