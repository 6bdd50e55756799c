#include "ko/signals/signal_dispatcher.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/os/futex.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::IsOkAndHolds;
using testing::StatusIs;

// Every test leaves dispositions, mask, descriptors and children as they were; the fixture checks it.
using SignalDispatcherTest = testing::LeakCheckedTest;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

SignalDispatcher MakeDispatcher() { return SignalDispatcher::Create().value(); }

// A handler that counts.
auto Count(int& count) {
  return [&count](const SignalInfo&) { ++count; };
}

bool IsReadable(int fd) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

struct sigaction Disposition(int signo) {
  struct sigaction action;
  ::sigaction(signo, nullptr, &action);
  return action;
}

// Sends a real-time signal with a value; waits where the kernel's queue is full.
void Queue(pid_t pid, int signo, int value) {
  sigval payload;
  payload.sival_int = value;
  while (::sigqueue(pid, signo, payload) != 0) {
    ASSERT_EQ(errno, EAGAIN);
    ::sched_yield();
  }
}

TEST_F(SignalDispatcherTest, HandlersRunInDispatchAndNowhereElse) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(signals.pending(), 1u);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
  EXPECT_EQ(signals.pending(), 0u);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(0));
  EXPECT_EQ(count, 1);
}

TEST_F(SignalDispatcherTest, SeveralHandlersOfASignalRunInTheirOrder) {
  SignalDispatcher signals = MakeDispatcher();
  std::vector<int> order;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(signals.On(SIGUSR1, [&, i](const SignalInfo&) { order.push_back(i); }).ok());
  ::raise(SIGUSR1);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST_F(SignalDispatcherTest, HandlersLearnWhoSentIt) {
  SignalDispatcher signals = MakeDispatcher();
  std::optional<SignalInfo> info;
  ASSERT_TRUE(signals.On(SIGRTMIN + 1, [&](const SignalInfo& each) { info = each; }).ok());
  Queue(::getpid(), SIGRTMIN + 1, -77);
  ASSERT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->signo, SIGRTMIN + 1);
  EXPECT_EQ(info->code, SI_QUEUE);
  EXPECT_EQ(info->sender_pid, ::getpid());
  EXPECT_EQ(info->sender_uid, ::getuid());
  EXPECT_EQ(info->value, -77);
}

TEST_F(SignalDispatcherTest, BadArgumentsAreRefused) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  for (int signo :
       {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, 0, -1, 32, 33, 65, 1000}) {
    EXPECT_THAT(signals.On(signo, Count(count)), StatusIs(kInvalidArgument)) << signo;
    EXPECT_FALSE(signals.HasHandler(signo));
  }
  EXPECT_THAT(signals.On(SIGUSR1, nullptr), StatusIs(kInvalidArgument));
  EXPECT_FALSE(signals.HasHandler(SIGUSR1));
}

TEST_F(SignalDispatcherTest, OffTakesHandlersAndWhatIsPendingAway) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  EXPECT_TRUE(signals.HasHandler(SIGUSR1));
  ::raise(SIGUSR1);
  EXPECT_TRUE(signals.Off(SIGUSR1).ok());
  EXPECT_TRUE(signals.Off(SIGUSR1).ok());
  EXPECT_FALSE(signals.HasHandler(SIGUSR1));
  EXPECT_TRUE(signals.Dispatch().ok());
  EXPECT_EQ(count, 0);
  EXPECT_EQ(Disposition(SIGUSR1).sa_handler, SIG_DFL);
}

TEST_F(SignalDispatcherTest, WhatOffDroppedIsNotForHandlersThatAreAddedLater) {
  SignalDispatcher signals = MakeDispatcher();
  int old_count = 0, other_count = 0, new_count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(old_count)).ok());
  ASSERT_TRUE(signals.On(SIGUSR2, Count(other_count)).ok());
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  ASSERT_TRUE(signals.Off(SIGUSR1).ok());
  ASSERT_TRUE(signals.On(SIGUSR1, Count(new_count)).ok());
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(old_count + new_count, 0);
  EXPECT_EQ(other_count, 1);
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
  ::raise(SIGUSR1);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(new_count, 1);
}

void UsersHandler(int) {}

TEST_F(SignalDispatcherTest, DestructionRestoresWhateverDispositionThereWas) {
  for (auto* handler : {SIG_DFL, SIG_IGN, &UsersHandler}) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_NODEFER;
    ::sigaddset(&action.sa_mask, SIGUSR2);
    struct sigaction before;
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
    {
      SignalDispatcher signals = MakeDispatcher();
      int count = 0;
      ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
      EXPECT_NE(Disposition(SIGUSR1).sa_handler, handler);
    }
    EXPECT_EQ(Disposition(SIGUSR1).sa_handler, handler);
    const struct sigaction after = Disposition(SIGUSR1);
    EXPECT_EQ(::sigismember(&after.sa_mask, SIGUSR2), 1);
    ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
  }
}

TEST_F(SignalDispatcherTest, ADispositionThatTheProgramChangedMeanwhileIsLeftAlone) {
  {
    SignalDispatcher signals = MakeDispatcher();
    int count = 0;
    ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
    ::signal(SIGUSR1, UsersHandler);
  }
  EXPECT_EQ(Disposition(SIGUSR1).sa_handler, &UsersHandler);
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_F(SignalDispatcherTest, EachDispatcherSeesASignalAndOneLeavesTheOther) {
  SignalDispatcher first = MakeDispatcher();
  int first_count = 0, second_count = 0;
  ASSERT_TRUE(first.On(SIGUSR1, Count(first_count)).ok());
  {
    SignalDispatcher second = MakeDispatcher();
    ASSERT_TRUE(second.On(SIGUSR1, Count(second_count)).ok());
    ::raise(SIGUSR1);
    EXPECT_THAT(first.Dispatch(), IsOkAndHolds(1));
    EXPECT_THAT(second.Dispatch(), IsOkAndHolds(1));
  }
  ::raise(SIGUSR1);
  EXPECT_THAT(first.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(first_count, 2);
  EXPECT_EQ(second_count, 1);
}

TEST_F(SignalDispatcherTest, HandlersMayRegisterUnregisterRaiseAndDispatch) {
  SignalDispatcher signals = MakeDispatcher();
  std::vector<std::string> log;
  ASSERT_TRUE(signals
                  .On(SIGUSR1,
                      [&](const SignalInfo&) {
                        log.push_back("first");
                        ASSERT_TRUE(
                            signals.On(SIGUSR2, [&](const SignalInfo&) { log.push_back("inner"); }).ok());
                        ::raise(SIGUSR2);
                        EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
                        ASSERT_TRUE(signals.Off(SIGUSR1).ok());  // this one and the next
                        log.push_back("end of first");
                      })
                  .ok());
  ASSERT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { log.push_back("second"); }).ok());
  ::raise(SIGUSR1);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_THAT(log, ElementsAre("first", "inner", "end of first"));
}

TEST_F(SignalDispatcherTest, AHandlerThatThrowsLosesNothingThatFollows) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals
                  .On(SIGRTMIN,
                      [](const SignalInfo& info) {
                        if (info.value == 0) throw std::runtime_error("no");
                      })
                  .ok());
  ASSERT_TRUE(signals.On(SIGRTMIN, Count(count)).ok());
  for (int value = 0; value < 3; ++value) Queue(::getpid(), SIGRTMIN, value);
  EXPECT_THROW(signals.Dispatch().IgnoreError(), std::runtime_error);
  EXPECT_EQ(signals.pending(), 2u);
  EXPECT_TRUE(IsReadable(signals.poll_fd()));
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(2));
  EXPECT_EQ(count, 2);
}

TEST_F(SignalDispatcherTest, PollFdIsReadableExactlyWhileSomethingIsPending) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE(IsReadable(signals.poll_fd()));
    ::raise(SIGUSR1);
    EXPECT_TRUE(IsReadable(signals.poll_fd()));
    EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  }
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
}

TEST_F(SignalDispatcherTest, InterruptFiresExactlyWhileSomethingIsPending) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  EXPECT_FALSE(signals.interrupt().fired());
  const Interrupt before = signals.interrupt();
  ::raise(SIGUSR1);
  EXPECT_TRUE(before.fired());
  EXPECT_TRUE(signals.interrupt().fired());
  ASSERT_TRUE(signals.Dispatch().ok());
  EXPECT_FALSE(signals.interrupt().fired());
}

TEST_F(SignalDispatcherTest, WaitSleepsUntilASignalComes) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  const pid_t waiter = ::getpid();
  const pid_t sender = ::fork();
  if (sender == 0) {
    testing::AwaitState(waiter, 'S');
    ::kill(waiter, SIGUSR1);
    ::_exit(0);
  }
  EXPECT_THAT(signals.Wait(absl::InfiniteDuration()), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
  ::waitpid(sender, nullptr, 0);
}

TEST_F(SignalDispatcherTest, WaitIsOverAfterItsTime) {
  SignalDispatcher signals = MakeDispatcher();
  for (absl::Duration timeout : {absl::ZeroDuration(), -absl::Hours(1), absl::Milliseconds(5)}) {
    EXPECT_THAT(signals.Wait(timeout), IsOkAndHolds(0));
  }
}

TEST_F(SignalDispatcherTest, NoSignalIsSleptThrough) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  const pid_t waiter = ::getpid();
  testing::Gate next;
  constexpr int kRounds = testing::Rounds(5'000);
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (int i = 0; i < kRounds && next.Pass(); ++i) ::kill(waiter, SIGUSR1);
    ::_exit(0);
  }
  for (int i = 0; i < kRounds; ++i) {
    next.Open();
    ASSERT_THAT(signals.Wait(absl::InfiniteDuration()), IsOkAndHolds(1));
  }
  EXPECT_EQ(count, kRounds);
  ::waitpid(sender, nullptr, 0);
}

TEST_F(SignalDispatcherTest, TenThousandRealTimeSignalsKeepCountOrderAndValues) {
  SignalDispatcher signals = MakeDispatcher();
  std::vector<int> values;
  ASSERT_TRUE(signals.On(SIGRTMIN + 2, [&](const SignalInfo& info) { values.push_back(info.value); }).ok());
  const pid_t receiver = ::getpid();
  constexpr int kSignals = 10'000;
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (int i = 0; i < kSignals; ++i) Queue(receiver, SIGRTMIN + 2, i);
    ::_exit(0);
  }
  while (values.size() < kSignals) ASSERT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
  for (int i = 0; i < kSignals; ++i) ASSERT_EQ(values[i], i);
  ::waitpid(sender, nullptr, 0);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(0));
}

TEST_F(SignalDispatcherTest, ABurstThatNobodyDispatchesIsKeptAndTheMaskComesBack) {
  SignalDispatcher signals = MakeDispatcher();
  std::vector<int> values;
  int others = 0;
  ASSERT_TRUE(signals.On(SIGRTMIN + 2, [&](const SignalInfo& info) { values.push_back(info.value); }).ok());
  ASSERT_TRUE(signals.On(SIGUSR1, Count(others)).ok());
  sigset_t mask_before;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask_before);
  const pid_t receiver = ::getpid();
  constexpr int kSignals = 5'000;
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (int i = 0; i < kSignals; ++i) Queue(receiver, SIGRTMIN + 2, i);
    ::kill(receiver, SIGUSR1);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(sender, nullptr, 0), sender);  // all of them have been sent
  EXPECT_LT(signals.pending(), 1024u);
  while (values.size() < kSignals || others == 0) ASSERT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
  for (int i = 0; i < kSignals; ++i) ASSERT_EQ(values[i], i);
  EXPECT_EQ(others, 1);
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  for (int signo = 1; signo < NSIG; ++signo) {
    EXPECT_EQ(::sigismember(&mask, signo), ::sigismember(&mask_before, signo)) << signo;
  }
}

TEST_F(SignalDispatcherTest, OrdinarySignalsUnderFireAreNeverLostForGood) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  ASSERT_TRUE(signals.On(SIGUSR2, [&](const SignalInfo&) { count = -1; }).ok());
  const pid_t receiver = ::getpid();
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (int i = 0; i < 10'000; ++i) ::kill(receiver, SIGUSR1);
    ::kill(receiver, SIGUSR2);  // the last one: it must come, and after it nothing
    ::_exit(0);
  }
  while (count >= 0) ASSERT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
  ::waitpid(sender, nullptr, 0);
}

TEST_F(SignalDispatcherTest, SignalsOnOtherThreadsWakeASleeperOnTheInterrupt) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  const pid_t owner = ::gettid();
  std::thread other([&] {
    testing::AwaitState(owner, 'S');
    ::pthread_kill(::pthread_self(), SIGUSR1);  // handled on this thread
  });
  const Interrupt interrupt = signals.interrupt();
  while (!interrupt.fired()) {
    os::FutexWaitList waits;
    waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    waits.Sleep(os::Deadline::After(absl::InfiniteDuration()));
  }
  other.join();
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
}

TEST_F(SignalDispatcherTest, ASignalToTheSleeperItselfEndsItsSleepOnTheInterrupt) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  const pid_t sleeper = ::getpid();
  testing::Gate next;
  constexpr int kRounds = testing::Rounds(2'000);
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (int i = 0; i < kRounds && next.Pass(); ++i) {
      if (i % 2 == 0) testing::AwaitState(sleeper, 'S');  // else just before or after it goes to sleep
      ::kill(sleeper, SIGUSR1);
    }
    ::_exit(0);
  }
  for (int i = 0; i < kRounds; ++i) {
    next.Open();
    const Interrupt interrupt = signals.interrupt();
    while (!interrupt.fired()) {
      os::FutexWaitList waits;
      waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
      waits.Sleep(os::Deadline::After(absl::InfiniteDuration()));
    }
    ASSERT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  }
  EXPECT_EQ(count, kRounds);
  ::waitpid(sender, nullptr, 0);
}

TEST_F(SignalDispatcherTest, ASignalOnAnotherThreadEndsWait) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  const pid_t owner = ::gettid();
  std::thread other([owner] {
    testing::AwaitState(owner, 'S');
    ::pthread_kill(::pthread_self(), SIGUSR1);  // handled on this thread
  });
  EXPECT_THAT(signals.Wait(absl::InfiniteDuration()), IsOkAndHolds(1));
  other.join();
  EXPECT_EQ(count, 1);
}

TEST_F(SignalDispatcherTest, AForkedChildStartsClean) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  ::raise(SIGUSR1);
  const auto child = testing::InChild([&] {
    EXPECT_EQ(Disposition(SIGUSR1).sa_handler, SIG_DFL);
    EXPECT_THAT(signals.Dispatch(), StatusIs(kFailedPrecondition));
    EXPECT_THAT(signals.Wait(absl::InfiniteDuration()), StatusIs(kFailedPrecondition));
    EXPECT_THAT(signals.On(SIGUSR2, Count(count)), StatusIs(kFailedPrecondition));
    EXPECT_THAT(signals.Off(SIGUSR1), StatusIs(kFailedPrecondition));
    EXPECT_FALSE(signals.HasHandler(SIGUSR1));
    EXPECT_EQ(signals.pending(), 0u);

    SignalDispatcher own = MakeDispatcher();
    int own_count = 0;
    EXPECT_TRUE(own.On(SIGUSR1, Count(own_count)).ok());
    ::raise(SIGUSR1);
    EXPECT_THAT(own.Dispatch(), IsOkAndHolds(1));
    EXPECT_EQ(own_count, 1);
    signals = MakeDispatcher();  // the inherited one is destroyed here
  });
  EXPECT_TRUE(child.ok());
  EXPECT_EQ(count, 0);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
}

TEST_F(SignalDispatcherTest, AHandlerMayForkAndTheChildMayGoOn) {
  SignalDispatcher signals = MakeDispatcher();
  pid_t child = 0;
  ASSERT_TRUE(signals
                  .On(SIGUSR1,
                      [&](const SignalInfo&) {
                        child = ::fork();
                        if (child == 0) ::_exit(signals.Dispatch().ok() ? 1 : 0);
                      })
                  .ok());
  ::raise(SIGUSR1);
  ASSERT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
}

TEST_F(SignalDispatcherTest, SignalsAroundAForkNeverRingTheParentsBellFromTheChild) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
  for (int round = 0; round < testing::Rounds(1'000); ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    ::kill(child, SIGUSR1);  // its disposition is the default one again
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    ASSERT_FALSE(IsReadable(signals.poll_fd()));
  }
  EXPECT_EQ(signals.pending(), 0u);
}

TEST_F(SignalDispatcherTest, ComingAndGoingUnderFireDisturbsNothing) {
  // What comes while there is no dispatcher is ignored, not deadly.
  struct sigaction ignore = {}, before;
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGUSR1, &ignore, &before), 0);
  const pid_t receiver = ::getpid();
  const pid_t sender = ::fork();
  if (sender == 0) {
    for (;;) ::kill(receiver, SIGUSR1);
  }
  int count = 0;
  for (int round = 0; round < testing::Rounds(2'000); ++round) {
    SignalDispatcher signals = MakeDispatcher();
    ASSERT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
    ASSERT_TRUE(signals.Dispatch().ok());
  }
  ::kill(sender, SIGKILL);
  ::waitpid(sender, nullptr, 0);
  ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST_F(SignalDispatcherTest, AMovedFromOneIsRefusedAndTheOtherGoesOn) {
  SignalDispatcher first = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(first.On(SIGUSR1, Count(count)).ok());
  SignalDispatcher second = std::move(first);
  EXPECT_THAT(first.Dispatch(), StatusIs(kFailedPrecondition));  // NOLINT(bugprone-use-after-move)
  EXPECT_THAT(first.Wait(absl::ZeroDuration()), StatusIs(kFailedPrecondition));
  EXPECT_THAT(first.On(SIGUSR1, Count(count)), StatusIs(kFailedPrecondition));
  EXPECT_EQ(first.poll_fd(), -1);
  EXPECT_EQ(first.pending(), 0u);
  EXPECT_FALSE(first.interrupt().fired());
  ::raise(SIGUSR1);
  EXPECT_THAT(second.Dispatch(), IsOkAndHolds(1));
  second = MakeDispatcher();
  EXPECT_EQ(Disposition(SIGUSR1).sa_handler, SIG_DFL);
}

TEST_F(SignalDispatcherTest, WithoutADescriptorToSpareThereIsAnError) {
  EXPECT_TRUE(testing::InChild([] {
                const rlimit none = {0, 0};
                ::setrlimit(RLIMIT_NOFILE, &none);
                EXPECT_THAT(SignalDispatcher::Create(), StatusIs(absl::StatusCode::kResourceExhausted));
              }).ok());
}

TEST_F(SignalDispatcherTest, ThereAreAtMostSixtyFour) {
  std::vector<SignalDispatcher> all;
  for (int i = 0; i < 64; ++i) all.push_back(MakeDispatcher());
  EXPECT_THAT(SignalDispatcher::Create(), StatusIs(absl::StatusCode::kResourceExhausted));
  all.pop_back();
  EXPECT_TRUE(SignalDispatcher::Create().ok());
}

TEST_F(SignalDispatcherTest, NothingPendingCostsNoSystemCall) {
  // In strict mode the kernel kills a process that makes any call but read, write, exit and sigreturn.
  const auto child = testing::InChild([] {
    SignalDispatcher signals = MakeDispatcher();
    int count = 0;
    EXPECT_TRUE(signals.On(SIGUSR1, Count(count)).ok());
    ::raise(SIGUSR1);
    EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) ::_exit(2);
    bool quiet = true;
    for (int i = 0; i < 1'000; ++i) quiet = quiet && signals.Dispatch().value_or(1) == 0;
    ::syscall(SYS_exit, quiet ? 0 : 1);
  });
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_EQ(child.term_signal, std::nullopt);
}

}  // namespace
}  // namespace ko
