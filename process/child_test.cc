#include "ko/process/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::AwaitState;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ChildTest : public testing::LeakCheckedTest {
 protected:
  static Child Start(ChildBody body, ForkOptions options = {}) {
    absl::StatusOr<Child> child = Fork(std::move(body), std::move(options));
    EXPECT_THAT(child, IsOk());
    return *std::move(child);
  }

  static void SleepForEver() {
    for (;;) ::pause();
  }

  // A child that sleeps and, from the moment that this returns, ignores SIGTERM.
  static Child StartStubborn() {
    ForkOptions options;
    options.setup = [] {
      ::signal(SIGTERM, SIG_IGN);
      return absl::OkStatus();
    };
    Child child = Start(SleepForEver, std::move(options));
    EXPECT_TRUE(testing::AwaitProcess(child.pid(), [&](const testing::ProcessState& state) {
      return state.letter == 'S' && testing::SignalSet(child.pid(), "SigBlk") == 0;
    }));
    return child;
  }
};

// --- Wait and TryWait ---

TEST_F(ChildTest, WaitAnswersAsOftenAsAsked) {
  Child child = Start([] { return 7; });
  for (int i = 0; i < 3; ++i) EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
  EXPECT_EQ(child.TryWait(), ExitStatus::Exited(7));
  EXPECT_THAT(child.Wait(absl::ZeroDuration()), IsOkAndHolds(ExitStatus::Exited(7)));
  EXPECT_THAT(child.Stop(), IsOkAndHolds(ExitStatus::Exited(7)));
}

TEST_F(ChildTest, WaitReapsSoThatThePidIsGone) {
  Child child = Start([] {});
  ASSERT_THAT(child.Wait(), IsOk());
  EXPECT_FALSE(testing::ReadProcessState(child.pid()).has_value());
  EXPECT_GT(child.pid(), 0) << "readable all the same";
  EXPECT_GE(child.pidfd(), 0);
}

TEST_F(ChildTest, WaitIsOverWhenTheTimeIsAndTheChildGoesOn) {
  Child child = Start(SleepForEver);
  for (const absl::Duration timeout : {absl::ZeroDuration(), -absl::Seconds(1), -absl::InfiniteDuration(),
                                       absl::Nanoseconds(1) / 4, absl::Milliseconds(3)}) {
    EXPECT_THAT(child.Wait(timeout), StatusIs(absl::StatusCode::kDeadlineExceeded,
                                              HasSubstr("pid " + std::to_string(child.pid()))))
        << timeout;
  }
  EXPECT_EQ(child.TryWait(), std::nullopt);
  EXPECT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

TEST_F(ChildTest, WaitSleepsItsTimeout) {
  Child child = Start(SleepForEver);
  const absl::Time before = absl::Now();
  EXPECT_THAT(child.Wait(absl::Milliseconds(50)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(49)) << "the wall clock may be slewed";
}

TEST_F(ChildTest, WaitWithAnyLongTimeoutSeesTheEnd) {
  for (const absl::Duration timeout : {absl::Hours(1), absl::Hours(24) * 365 * 1'000'000,
                                       absl::Seconds(int64_t{1} << 62), absl::InfiniteDuration()}) {
    EXPECT_THAT(Start([] { return 3; }).Wait(timeout), IsOkAndHolds(ExitStatus::Exited(3))) << timeout;
  }
}

TEST_F(ChildTest, WaitWithZeroSeesAnEndThatHasBeen) {
  Child child = Start([] { return 3; });
  testing::AwaitEnded(child.pid());
  EXPECT_THAT(child.Wait(absl::ZeroDuration()), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ChildTest, TryWaitReapsOnceItHasEnded) {
  Child child = Start([] { return 3; });
  testing::AwaitEnded(child.pid());
  EXPECT_EQ(child.TryWait(), ExitStatus::Exited(3));
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_FALSE(testing::ReadProcessState(child.pid()).has_value());
}

TEST_F(ChildTest, TryWaitTellsTheReason) {
  Child child = Start([] { return absl::NotFoundError("x"); });
  testing::AwaitEnded(child.pid());
  EXPECT_EQ(child.TryWait()->ToStatus(), absl::NotFoundError("x"));
}

TEST_F(ChildTest, WaitGoesOnAfterSignals) {
  static volatile std::sig_atomic_t signals = 0;
  InChild([] {
    struct sigaction action = {};
    action.sa_handler = [](int) { signals = signals + 1; };  // without SA_RESTART
    ::sigaction(SIGUSR1, &action, nullptr);
    const pid_t parent = ::getpid();
    for (const absl::Duration timeout : {absl::InfiniteDuration(), absl::Hours(1)}) {
      signals = 0;
      Child child = Start([parent] {
        for (int i = 0; i < 20; ++i) {
          testing::AwaitState(parent, 'S');
          ::kill(parent, SIGUSR1);
        }
        return 4;
      });
      EXPECT_THAT(child.Wait(timeout), IsOkAndHolds(ExitStatus::Exited(4)));
      EXPECT_GT(signals, 0);
    }
  });
}

TEST_F(ChildTest, WaitDoesNotTakeAStopForAnEnd) {
  Child child = Start(SleepForEver);
  EXPECT_THAT(child.Kill(SIGSTOP), IsOk());
  EXPECT_TRUE(AwaitState(child.pid(), 'T'));
  EXPECT_EQ(child.TryWait(), std::nullopt);
  EXPECT_THAT(child.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

// --- Kill ---

TEST_F(ChildTest, KillRefusesNumbersThatAreNoSignal) {
  Child child = Start(SleepForEver);
  for (const int signo : {0, -1, -SIGTERM, 1000, SIGRTMAX + 1}) {
    EXPECT_THAT(child.Kill(signo), StatusIs(absl::StatusCode::kInvalidArgument)) << signo;
  }
  EXPECT_EQ(child.TryWait(), std::nullopt);
  EXPECT_THAT(child.Kill(), IsOk());
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
  EXPECT_THAT(child.Kill(1000), StatusIs(absl::StatusCode::kInvalidArgument)) << "after the end as well";
}

TEST_F(ChildTest, KillAfterTheEndDoesNothing) {
  Child child = Start([] {});
  testing::AwaitEnded(child.pid());
  EXPECT_THAT(child.Kill(), IsOk()) << "a zombie";
  ASSERT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(child.Kill(), IsOk()) << "reaped";
}

TEST_F(ChildTest, KillOfOneThatOtherCodeReapedDoesNothing) {
  Child child = Start([] {});
  ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
  EXPECT_THAT(child.Kill(), IsOk());
}

// --- Stop ---

TEST_F(ChildTest, StopAsksFirst) {
  EXPECT_THAT(Start(SleepForEver).Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
  EXPECT_THAT(Start(SleepForEver).Stop({.signal = SIGINT}), IsOkAndHolds(ExitStatus::Signaled(SIGINT)));
}

TEST_F(ChildTest, StopWaitsForAnObedientChildHoweverLong) {
  EXPECT_THAT(Start(SleepForEver).Stop({.grace = absl::InfiniteDuration()}),
              IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

TEST_F(ChildTest, StopEscalatesToSigkill) {
  for (const absl::Duration grace : {absl::ZeroDuration(), -absl::Seconds(1), absl::Milliseconds(5)}) {
    EXPECT_THAT(StartStubborn().Stop({.grace = grace}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL))) << grace;
  }
}

TEST_F(ChildTest, StopGivesTheGraceTime) {
  Child child = StartStubborn();
  const absl::Time before = absl::Now();
  EXPECT_THAT(child.Stop({.grace = absl::Milliseconds(50)}), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(49)) << "the wall clock may be slewed";
}

TEST_F(ChildTest, StopReachesAStoppedChild) {
  Child child = Start(SleepForEver);
  ASSERT_THAT(child.Kill(SIGSTOP), IsOk());
  ASSERT_TRUE(AwaitState(child.pid(), 'T'));
  EXPECT_THAT(child.Stop({.grace = absl::InfiniteDuration()}), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

TEST_F(ChildTest, StopOfOneThatHasEndedTellsItsOwnEnd) {
  Child child = Start([] { return 6; });
  testing::AwaitEnded(child.pid());
  EXPECT_THAT(child.Stop(), IsOkAndHolds(ExitStatus::Exited(6)));
  EXPECT_THAT(child.Stop(), IsOkAndHolds(ExitStatus::Exited(6)));
}

TEST_F(ChildTest, StopRefusesASignalThatIsNoneAndLeavesTheChildAlone) {
  Child child = Start(SleepForEver);
  EXPECT_THAT(child.Stop({.signal = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(child.TryWait(), std::nullopt);
}

// --- Ownership ---

TEST_F(ChildTest, DestructionKillsAndReaps) {
  pid_t pid;
  {
    Child child = StartStubborn();
    pid = child.pid();
  }
  EXPECT_FALSE(testing::ReadProcessState(pid).has_value());
}

TEST_F(ChildTest, DestructionReapsOneThatHasEndedOrIsStopped) {
  {
    const Child ended = Start([] {});
    testing::AwaitEnded(ended.pid());
    Child stopped = Start(SleepForEver);
    ASSERT_THAT(stopped.Kill(SIGSTOP), IsOk());
    ASSERT_TRUE(AwaitState(stopped.pid(), 'T'));
  }
  EXPECT_TRUE(testing::Children().empty());
}

TEST_F(ChildTest, MovedFromOneOwnsNothing) {
  Child first = Start([] { return 3; });
  const pid_t pid = first.pid();
  Child second = std::move(first);
  EXPECT_EQ(first.pid(), 0);
  EXPECT_EQ(first.pidfd(), -1);
  EXPECT_THAT(first.Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(first.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(first.TryWait(), std::nullopt);
  EXPECT_THAT(first.Kill(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(first.Stop(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(first.usage().max_rss_bytes, 0);
  EXPECT_EQ(first.stdin_fd(), -1);
  first.CloseStdin();
  EXPECT_EQ(second.pid(), pid);
  EXPECT_THAT(second.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  Child third = std::move(second);
  EXPECT_THAT(third.Wait(), IsOkAndHolds(ExitStatus::Exited(3))) << "the status moves along";
  EXPECT_THAT(second.Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ChildTest, AssignmentEndsTheOneThatWasOwned) {
  Child child = StartStubborn();
  const pid_t replaced = child.pid();
  child = Start([] { return 3; });
  EXPECT_FALSE(testing::ReadProcessState(replaced).has_value());
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  child = Start([] { return absl::NotFoundError("x"); });
  EXPECT_EQ(child.Wait()->ToStatus(), absl::NotFoundError("x"));
}

TEST_F(ChildTest, SelfMoveKeepsTheChild) {
  Child child = Start([] { return 3; });
  Child& same = child;
  child = std::move(same);
  EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ChildTest, ForkedCopyCanDoNothingAndHarmsNothing) {
  Gate gate;
  Child running = Start([&gate] {
    gate.CloseOpener();
    gate.Pass();
    return 5;
  });
  Child ended = Start([] { return absl::NotFoundError("x"); });
  testing::AwaitEnded(ended.pid());
  InChild([&running, &ended] {
    for (Child* const child : {&running, &ended}) {
      EXPECT_THAT(child->Wait(), StatusIs(absl::StatusCode::kFailedPrecondition));
      EXPECT_THAT(child->Wait(absl::Hours(1)), StatusIs(absl::StatusCode::kFailedPrecondition));
      EXPECT_EQ(child->TryWait(), std::nullopt);
      EXPECT_THAT(child->Kill(SIGKILL), StatusIs(absl::StatusCode::kFailedPrecondition));
      EXPECT_THAT(child->Stop(), StatusIs(absl::StatusCode::kFailedPrecondition));
      {
        const Child copy = std::move(*child);
      }
    }
  });
  gate.Open();
  EXPECT_THAT(running.Wait(), IsOkAndHolds(ExitStatus::Exited(5)));
  EXPECT_EQ(ended.Wait()->ToStatus(), absl::NotFoundError("x"));
}

// --- Beside other code's children ---

TEST_F(ChildTest, OtherCodesChildrenAreLeftToIt) {
  const pid_t other = ::fork();
  if (other == 0) ::_exit(11);
  testing::AwaitEnded(other);
  std::FILE* const pipe = ::popen("exit 12", "r");
  ASSERT_NE(pipe, nullptr);
  EXPECT_THAT(Start([] { return 3; }).Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_THAT(Start(SleepForEver).Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
  EXPECT_EQ(WEXITSTATUS(std::system("exit 13")), 13);
  EXPECT_EQ(WEXITSTATUS(::pclose(pipe)), 12);
  int status;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_EQ(WEXITSTATUS(status), 11);
}

// The right end where the kernel keeps it (Linux 6.15), else Unknown: never a wrong one, never an endless
// wait.
void ExpectEndOrUnknown(const absl::StatusOr<ExitStatus>& status, const ExitStatus& end) {
  ASSERT_THAT(status, IsOk());
  EXPECT_TRUE(*status == end || *status == ExitStatus::Unknown()) << *status;
}

TEST_F(ChildTest, StatusStolenByWaitpidOfAnyIsToldAllTheSame) {
  Child first = Start([] { return 9; });
  ASSERT_EQ(::waitpid(-1, nullptr, 0), first.pid());
  ExpectEndOrUnknown(first.Wait(), ExitStatus::Exited(9));
  Child second = Start([] { ::raise(SIGKILL); });
  ASSERT_EQ(::waitpid(-1, nullptr, 0), second.pid());
  std::optional<ExitStatus> status = second.TryWait();
  ASSERT_TRUE(status.has_value());
  ExpectEndOrUnknown(*status, ExitStatus::Signaled(SIGKILL));
  Child third = Start([] { return absl::NotFoundError("x"); });
  ASSERT_EQ(::waitpid(-1, nullptr, 0), third.pid());
  ExpectEndOrUnknown(third.Wait(absl::Hours(1)), ExitStatus::Exited(1));
}

TEST_F(ChildTest, SigchldHandlerThatReapsEveryChildIsNoHindrance) {
  InChild([] {
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const int saved = errno;
      while (::waitpid(-1, nullptr, WNOHANG) > 0) continue;
      errno = saved;
    };
    ::sigaction(SIGCHLD, &action, nullptr);

    for (int i = 0; i < testing::Rounds(300); ++i) {
      Child child = Start([] { return 9; });
      const absl::StatusOr<ExitStatus> status = i % 2 == 0 ? child.Wait() : child.Wait(absl::Hours(1));
      ExpectEndOrUnknown(status, ExitStatus::Exited(9));
    }
  });
}

TEST_F(ChildTest, IgnoredSigchldIsNoHindrance) {
  InChild([] {
    ::signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < testing::Rounds(300); ++i) {
      Child child = Start([] { return 9; });
      ExpectEndOrUnknown(i % 2 == 0 ? child.Wait() : child.Wait(absl::Hours(1)), ExitStatus::Exited(9));
    }
    ExpectEndOrUnknown(Start(SleepForEver).Stop(), ExitStatus::Signaled(SIGTERM));
    {
      const Child dropped = Start(SleepForEver);
    }
    EXPECT_TRUE(testing::Children().empty());
  });
}

// --- Many ---

TEST_F(ChildTest, ManyAliveAtOnceAreEachWaitedFor) {
  constexpr int kChildren = testing::Rounds(1000);
  Gate gate;
  std::vector<Child> children;
  for (int i = 0; i < kChildren; ++i) {
    children.push_back(Start([&gate, i] {
      gate.CloseOpener();
      gate.Pass();
      return i % 256;
    }));
  }
  for (int i = 0; i < kChildren; ++i) EXPECT_EQ(children[i].TryWait(), std::nullopt) << i;
  gate.CloseOpener();  // the end of it lets all of them pass
  for (int i = kChildren - 1; i >= 0; --i)
    ASSERT_THAT(children[i].Wait(), IsOkAndHolds(ExitStatus::Exited(i % 256)));
}

// --- What it used ---

TEST_F(ChildTest, UsageTellsTheTimeAndMemoryOfTheChild) {
  constexpr absl::Duration kBurned = absl::Milliseconds(30);
  constexpr size_t kBytes = 64 << 20;
  Child child = Start([] {
    std::vector<char> memory(kBytes, 1);
    timespec used;
    do {
      ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (absl::DurationFromTimespec(used) < kBurned);
    return memory[kBytes / 2] == 1 ? 0 : 1;
  });
  EXPECT_EQ(child.usage().user_time, absl::ZeroDuration());
  EXPECT_EQ(child.usage().max_rss_bytes, 0);
  ASSERT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_GE(child.usage().user_time + child.usage().system_time, kBurned - absl::Milliseconds(1));
  EXPECT_GE(child.usage().max_rss_bytes, int64_t{kBytes});
}

}  // namespace
}  // namespace ko
