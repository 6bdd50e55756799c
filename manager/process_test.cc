#include "ko/manager/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// The parent's handle: every way to end, waiting, readiness, stopping, and handles that are of no process.

namespace ko {
namespace {

using testing::AwaitState;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ProcessTest : public testing::LeakCheckedTest {
 protected:
  static ExitStatus EndOf(ManagedBody body) {
    ProcessManager manager;
    absl::StatusOr<ExitStatus> status = manager.Fork(std::move(body)).Wait();
    EXPECT_THAT(status, IsOk());
    return status.value_or(ExitStatus::Unknown());
  }
};

// --- Every end ---

TEST_F(ProcessTest, BodyThatReturnsNothingExitsWithZero) {
  EXPECT_EQ(EndOf([] {}), ExitStatus::Exited(0));
}

TEST_F(ProcessTest, IntIsTheExitCode) {
  EXPECT_EQ(EndOf([] { return 0; }), ExitStatus::Exited(0));
  EXPECT_EQ(EndOf([] { return 7; }), ExitStatus::Exited(7));
  EXPECT_EQ(EndOf([](Self&) { return 7; }), ExitStatus::Exited(7));
}

TEST_F(ProcessTest, MinusOneIsExitCode255) {
  const ExitStatus status = EndOf([] { return -1; });
  EXPECT_EQ(status, ExitStatus::Exited(-1));
  EXPECT_EQ(status.exit_code(), 255);
}

TEST_F(ProcessTest, SignalThatKillsItIsToldAndIsNoExitCode) {
  for (const int signo : {SIGKILL, SIGTERM, SIGHUP, SIGINT}) {
    const ExitStatus status = EndOf([signo] { ::raise(signo); });
    EXPECT_EQ(status.term_signal(), signo);
    EXPECT_EQ(status.exit_code(), std::nullopt);
    EXPECT_FALSE(status.ok());
  }
}

TEST_F(ProcessTest, CoreFlagIsWhatTheKernelSays) {
  const testing::TempDir folder;
  const auto dump = [&] {
    const rlimit core = {RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_CORE, &core) != 0 || ::chdir(folder.path().c_str()) != 0) ::_exit(1);
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
  };
  const testing::InChildResult plain = InChild(dump);
  ASSERT_EQ(plain.term_signal, SIGSEGV);
  EXPECT_EQ(EndOf(dump), ExitStatus::Signaled(SIGSEGV, plain.core_dumped));
}

TEST_F(ProcessTest, WithoutRoomForACoreThereIsNoCoreFlag) {
  EXPECT_EQ(EndOf([] {
              const rlimit none = {0, 0};
              ::setrlimit(RLIMIT_CORE, &none);
              ::signal(SIGSEGV, SIG_DFL);
              ::raise(SIGSEGV);
            }),
            ExitStatus::Signaled(SIGSEGV, /*core_dumped=*/false));
}

TEST_F(ProcessTest, StatusIsToldWithItsCodeAndMessage) {
  const ExitStatus status = EndOf([](Self&) { return absl::NotFoundError("no such job"); });
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_EQ(status.ToStatus(), absl::NotFoundError("no such job"));
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(ProcessTest, ExceptionIsAFailureWithItsText) {
  const ExitStatus status = EndOf([](Self&) { throw std::runtime_error("out of paper"); });
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_THAT(status.ToStatus(), StatusIs(absl::StatusCode::kUnknown, HasSubstr("out of paper")));
}
#endif

TEST_F(ProcessTest, ExitInsideTheBodyIsTheExitCode) {
  EXPECT_EQ(EndOf([](Self&) { std::exit(9); }), ExitStatus::Exited(9));
}

TEST_F(ProcessTest, UnderscoreExitInsideTheBodyIsTheExitCode) {
  EXPECT_EQ(EndOf([] { ::_exit(9); }), ExitStatus::Exited(9));
}

TEST_F(ProcessTest, BodyThatIgnoresSigtermIsStoppedByEscalation) {
  ProcessManager manager;
  Process deaf = manager.Fork(IgnoreShutdown);
  ASSERT_THAT(deaf.WaitReady(), IsOk());
  EXPECT_THAT(deaf.Stop({.grace = absl::Milliseconds(20)}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

// --- What it says meanwhile ---

TEST_F(ProcessTest, StatusIsEmptyWhileItRuns) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  EXPECT_EQ(process.exit_status(), std::nullopt);
  EXPECT_TRUE(process.IsAlive());
  EXPECT_EQ(testing::Children(), std::vector<pid_t>{process.pid()});
  EXPECT_THAT(process.Stop(), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  EXPECT_FALSE(process.IsAlive());
  EXPECT_EQ(process.pid(), 0);
  EXPECT_EQ(process.restarts(), 0);
}

TEST_F(ProcessTest, WaitAnswersAsOftenAsAsked) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  for (int i = 0; i < 3; ++i) EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, StatusIsKeptWhereTheManagersWaitReaps) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(3));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, WaitOfARunningOneIsDeadlineExceededAndLeavesItAlone) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  EXPECT_THAT(process.Wait(absl::Milliseconds(10)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(process.Wait(-absl::InfiniteDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(process.IsAlive());
}

TEST_F(ProcessTest, WaitWithoutTimeSeesAnEndThatHasHappened) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  AwaitExit(process.pid());
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, CopiesAreHandlesOfTheSameProcess) {
  ProcessManager manager;
  Process first = manager.Fork([] { return 3; });
  Process second = first;
  EXPECT_THAT(first.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(second.exit_status(), ExitStatus::Exited(3));
}

// --- Readiness ---

TEST_F(ProcessTest, WaitReadyReturnsWhenItIsReady) {
  ProcessManager manager;
  Gate gate;
  Process process = manager.Fork([&](Self& self) {
    gate.Pass();
    ServeUntilShutdown(self);
  });
  EXPECT_FALSE(process.IsReady());
  EXPECT_THAT(process.WaitReady(absl::Milliseconds(10)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  gate.Open();
  EXPECT_THAT(process.WaitReady(), IsOk());
  EXPECT_TRUE(process.IsReady());
  EXPECT_THAT(process.WaitReady(absl::ZeroDuration()), IsOk()) << "and still is";
}

TEST_F(ProcessTest, IsReadyIsFalseAfterTheEnd) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Stop(), IsOk());
  EXPECT_FALSE(process.IsReady());
}

TEST_F(ProcessTest, EarlyDeathIsAbortedWithTheExitStatus) {
  ProcessManager manager;
  EXPECT_THAT(manager.Fork([](Self&) { return 3; }).WaitReady(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 3")));
  EXPECT_THAT(manager.Fork([](Self&) { ::raise(SIGKILL); }).WaitReady(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("killed by SIGKILL")));
  EXPECT_THAT(manager.Fork([] {}).WaitReady(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 0")))
      << "a success that nobody called ready";
}

TEST_F(ProcessTest, StartThatFailedIsNeverReady) {
  ProcessManager manager;
  Process process = manager.Fork(std::function<void()>());
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted, HasSubstr("not started")));
  EXPECT_FALSE(process.IsReady());
}

TEST_F(ProcessTest, ReadyAndGoneAtOnceIsReady) {
  ProcessManager manager;
  for (int i = 0; i < 100; ++i) {
    Process process = manager.Fork([](Self& self) { self.NotifyReady(); });
    ASSERT_THAT(process.WaitReady(), IsOk()) << "in round " << i;
  }
}

TEST_F(ProcessTest, ReadyAndGoneBeforeAnybodyLookedIsReady) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) { self.NotifyReady(); });
  int ready = 0;
  process.OnReady([&] { ++ready; });
  AwaitExit(process.pid());
  EXPECT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(ready, 1);
}

TEST_F(ProcessTest, TwoHundredReadyAtOnceAreAllNoticed) {
  ProcessManager manager;
  Gate gate;
  std::vector<Process> processes;
  int ready = 0;
  for (int i = 0; i < 200; ++i) {
    processes.push_back(manager.Fork([&](Self& self) {
      gate.Pass();
      return ServeUntilShutdown(self);
    }));
    processes.back().OnReady([&] { ++ready; });
  }
  for (size_t i = 0; i < processes.size(); ++i) gate.Open();
  for (Process& process : processes) ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(ready, 200);
}

TEST_F(ProcessTest, WhatTheBodyWroteBeforeReadyIsSeen) {
  ProcessManager manager;
  const Shared<int> value;
  Process process = manager.Fork([&](Self& self) {
    *value = 5;
    return ServeUntilShutdown(self);
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(*value, 5);
}

// --- Kill and Stop ---

TEST_F(ProcessTest, KillSendsTheSignal) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  EXPECT_THAT(process.Kill(SIGUSR1), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGUSR1)));
}

TEST_F(ProcessTest, KillOfANumberThatIsNoSignalIsInvalidArgumentAndSendsNothing) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  for (const int signo : {0, -1, 999, SIGRTMAX + 1}) {
    EXPECT_THAT(process.Kill(signo), StatusIs(absl::StatusCode::kInvalidArgument)) << signo;
  }
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ProcessTest, KillAfterTheEndDoesNothing) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  AwaitExit(process.pid());
  EXPECT_THAT(process.Kill(SIGKILL), IsOk()) << "ended, not reaped";
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_THAT(process.Kill(SIGKILL), IsOk()) << "reaped";
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, StopOfAnEndedOneIsItsStatus) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, StopSendsThePolicysSignal) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  EXPECT_THAT(process.Stop({.signal = SIGUSR2}), IsOkAndHolds(ExitStatus::Signaled(SIGUSR2)));
}

TEST_F(ProcessTest, StopByWhatIsNoSignalIsInvalidArgumentAndStopsNothing) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  EXPECT_THAT(process.Stop({.signal = 999}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(process.Stop({.signal = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(process.IsAlive());
}

TEST_F(ProcessTest, StopWithoutGraceKillsAtOnce) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  EXPECT_THAT(process.Stop({.grace = absl::ZeroDuration()}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  process = manager.Fork(SleepForEver);
  EXPECT_THAT(process.Stop({.grace = -absl::Seconds(1)}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

TEST_F(ProcessTest, StopOfAStoppedProcessWakesItToHearTheSignal) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Kill(SIGSTOP), IsOk());
  ASSERT_TRUE(AwaitState(process.pid(), 'T'));
  EXPECT_THAT(process.Stop({.grace = absl::InfiniteDuration()}),
              IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(ProcessTest, SecondStopWithAShorterGraceMakesHaste) {
  ProcessManager manager;
  Process process = manager.Fork(IgnoreShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  Process other = manager.Fork([] {});
  other.OnExit([&](const ExitStatus&) { process.Stop({.grace = absl::ZeroDuration()}).IgnoreError(); });
  EXPECT_THAT(process.Stop({.grace = absl::InfiniteDuration()}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

TEST_F(ProcessTest, SecondStopWithALongerGraceDoesNotDelayTheEnd) {
  ProcessManager manager;
  Process process = manager.Fork(IgnoreShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  Process other = manager.Fork([] {});
  other.OnExit([&](const ExitStatus&) { process.Stop({.grace = absl::InfiniteDuration()}).IgnoreError(); });
  EXPECT_THAT(process.Stop({.grace = absl::Milliseconds(20)}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

// --- Handles of no process ---

void ExpectNoProcess(Process& process) {
  process.OnSuccess([] {}).OnError([](const ExitStatus&) {}).OnExit([](const ExitStatus&) {}).OnReady([] {});
  EXPECT_THAT(process.Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.Kill(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.Stop(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(process.IsReady());
  EXPECT_FALSE(process.IsAlive());
  EXPECT_EQ(process.pid(), 0);
  EXPECT_EQ(process.exit_status(), std::nullopt);
  EXPECT_EQ(process.restarts(), 0);
}

TEST_F(ProcessTest, DefaultConstructedIsFailedPrecondition) {
  Process process;
  ExpectNoProcess(process);
}

TEST_F(ProcessTest, MovedFromIsFailedPreconditionAndMovedToWorks) {
  ProcessManager manager;
  Process from = manager.Fork([] { return 3; });
  Process to = std::move(from);
  ExpectNoProcess(from);  // NOLINT(bugprone-use-after-move): that is the subject
  EXPECT_THAT(to.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  from = std::move(to);
  EXPECT_THAT(from.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessTest, AfterTheManagerIsGoneTheStatusIsStillThere) {
  Process process;
  {
    ProcessManager manager;
    process = manager.Fork(SleepForEver);
  }
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
  EXPECT_THAT(process.Kill(), IsOk());
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(process.IsAlive());
  EXPECT_EQ(process.pid(), 0);
  process.OnExit([](const ExitStatus&) { FAIL() << "nobody is left to run it"; });
}

// What a copy in a forked child says of a sibling that runs.
void ExpectForeign(Process& process) {
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.WaitReady(absl::ZeroDuration()), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.Kill(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(process.Stop({.grace = absl::ZeroDuration()}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ProcessTest, InARawForkedChildIsFailedPreconditionAndLeavesTheProcessAlone) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  InChild([&] {
    ExpectForeign(process);
    EXPECT_EQ(manager.size(), 0u);
    EXPECT_THAT(manager.Wait(), IsOk());
    ExpectForeign(process);  // now that the manager is this process's own
  });
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ProcessTest, InASiblingIsFailedPreconditionAndLeavesTheProcessAlone) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  Process sibling = manager.Fork([&](Self&) {
    ExpectForeign(process);
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_THAT(sibling.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace ko
