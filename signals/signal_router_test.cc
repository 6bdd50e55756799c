#include "ko/signals/signal_router.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/os/fork.h"
#include "ko/os/signal_mask.h"
#include "ko/signals/signal_dispatcher.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::InChild;
using testing::IsOkAndHolds;
using testing::StatusIs;

// What the one handler of the process does: in forked children of every kind, with several threads, and when an inbox is
// nearly full. More than this many signals do not fit into one.
constexpr int kTooMany = 3'000;

using SignalRouterTest = testing::LeakCheckedTest;

SignalDispatcher MakeDispatcher() { return SignalDispatcher::Create().value(); }

void IgnoreIt(const SignalInfo&) {}

bool IsReadable(int fd) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

uint64_t BlockedSignals() { return testing::SignalSet(::getpid(), "SigBlk"); }

void SetDisposition(int signo, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ASSERT_EQ(::sigaction(signo, &action, nullptr), 0);
}

void Queue(pid_t pid, int signo, int value) {
  sigval payload;
  payload.sival_int = value;
  while (::sigqueue(pid, signo, payload) != 0) {
    ASSERT_EQ(errno, EAGAIN);  // the kernel's queue is full
    ::sched_yield();
  }
}

void QueueTooMany(int signo) {
  for (int i = 0; i < kTooMany; ++i) Queue(::getpid(), signo, i);
}

int StatusOf(pid_t child) {
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

bool DiedOf(int status, int signo) { return WIFSIGNALED(status) && WTERMSIG(status) == signo; }

TEST_F(SignalRouterTest, SignalsQueuedForTheThreadItselfKeepTheirOrderInABurst) {
  SignalDispatcher signals = MakeDispatcher();
  std::vector<int> values;
  ASSERT_THAT(signals.On(SIGRTMIN, [&](const SignalInfo& info) { values.push_back(info.value); }),
              testing::IsOk());
  sigset_t signal, before;
  ::sigemptyset(&signal);
  ::sigaddset(&signal, SIGRTMIN);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &signal, &before), 0);
  for (int i = 0; i < kTooMany; ++i) {
    sigval payload;
    payload.sival_int = i;
    ASSERT_EQ(::pthread_sigqueue(::pthread_self(), SIGRTMIN, payload), 0);
  }
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  while (values.size() < kTooMany) ASSERT_THAT(signals.Wait(absl::InfiniteDuration()), testing::IsOk());
  for (int i = 0; i < kTooMany; ++i) ASSERT_EQ(values[i], i);
}

TEST_F(SignalRouterTest, ABurstWithoutRoomInTheKernelForOneMoreIsKept) {
  const auto child = InChild([] {
    SignalDispatcher signals = MakeDispatcher();
    std::vector<int> values;
    EXPECT_TRUE(signals.On(SIGRTMIN, [&](const SignalInfo& info) { values.push_back(info.value); }).ok());
    const uint64_t mask = BlockedSignals();
    int sent = 0;
    for (; sent < kTooMany; ++sent) {
      if (static_cast<uint32_t>(sent) == SignalInbox::kHighWater) {
        const rlimit none = {0, 0};
        ::setrlimit(RLIMIT_SIGPENDING, &none);
      }
      sigval payload;
      payload.sival_int = sent;
      if (::sigqueue(::getpid(), SIGRTMIN, payload) != 0) break;  // the sender is told
    }
    while (signals.Dispatch().value_or(0) > 0) {
    }
    EXPECT_EQ(values.size(), static_cast<size_t>(sent));
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], static_cast<int>(i));
    EXPECT_EQ(BlockedSignals(), mask);
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, WhatABurstLeftWithTheKernelIsDroppedWithItsDispatcher) {
  const auto child = InChild([] {
    const uint64_t mask = BlockedSignals();
    {
      SignalDispatcher signals = MakeDispatcher();
      EXPECT_TRUE(signals.On(SIGRTMIN, IgnoreIt).ok());
      QueueTooMany(SIGRTMIN);
    }
    // Its default action would have ended the process.
    EXPECT_EQ(BlockedSignals(), mask);
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(::sigismember(&pending, SIGRTMIN), 0);
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, WhatABurstLeftWithTheKernelIsDroppedByOff) {
  const auto child = InChild([] {
    const uint64_t mask = BlockedSignals();
    SignalDispatcher signals = MakeDispatcher();
    int others = 0;
    EXPECT_TRUE(signals.On(SIGRTMIN, IgnoreIt).ok());
    EXPECT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++others; }).ok());
    QueueTooMany(SIGRTMIN);
    ::raise(SIGUSR1);
    EXPECT_TRUE(signals.Off(SIGRTMIN).ok());
    EXPECT_THAT(signals.Wait(absl::InfiniteDuration()), IsOkAndHolds(1));
    EXPECT_EQ(others, 1);
    EXPECT_EQ(BlockedSignals(), mask);
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, ABurstForOneDispatcherReachesTheOtherInOrder) {
  SignalDispatcher lazy = MakeDispatcher(), eager = MakeDispatcher();
  std::vector<int> seen_by_lazy, seen_by_eager;
  ASSERT_TRUE(lazy.On(SIGRTMIN, [&](const SignalInfo& info) { seen_by_lazy.push_back(info.value); }).ok());
  ASSERT_TRUE(eager.On(SIGRTMIN, [&](const SignalInfo& info) { seen_by_eager.push_back(info.value); }).ok());
  const uint64_t mask = BlockedSignals();
  for (int i = 0; i < kTooMany; ++i) {
    Queue(::getpid(), SIGRTMIN, i);
    ASSERT_TRUE(eager.Dispatch().ok());
  }
  while (seen_by_eager.size() < kTooMany || seen_by_lazy.size() < kTooMany) {
    ASSERT_TRUE(lazy.Dispatch().ok());
    ASSERT_TRUE(eager.Dispatch().ok());
  }
  for (int i = 0; i < kTooMany; ++i) {
    ASSERT_EQ(seen_by_eager[i], i);
    ASSERT_EQ(seen_by_lazy[i], i);
  }
  EXPECT_THAT(lazy.Dispatch(), IsOkAndHolds(0));
  EXPECT_THAT(eager.Dispatch(), IsOkAndHolds(0));
  EXPECT_EQ(BlockedSignals(), mask);
}

TEST_F(SignalRouterTest, AChildForkedDuringABurstHasTheMaskFromBefore) {
  const uint64_t mask = BlockedSignals();
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGRTMIN, [&](const SignalInfo&) { ++count; }).ok());
  ASSERT_TRUE(signals.On(SIGTERM, IgnoreIt).ok());
  QueueTooMany(SIGRTMIN);
  const auto child = InChild([mask] { EXPECT_EQ(BlockedSignals(), mask); });
  EXPECT_TRUE(child.ok());
  while (count < kTooMany) ASSERT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
  EXPECT_EQ(BlockedSignals(), mask);
}

TEST_F(SignalRouterTest, AChildThatReturnsFromAHandlerRunsNoneOfItsParentsSignals) {
  SignalDispatcher signals = MakeDispatcher();
  pid_t child = -1;
  int ran = 0;
  ASSERT_TRUE(signals
                  .On(SIGRTMIN,
                      [&](const SignalInfo&) {
                        ++ran;
                        if (child == -1) child = ::fork();
                      })
                  .ok());
  ASSERT_TRUE(signals.On(SIGRTMIN, [&](const SignalInfo&) { ran += 100; }).ok());
  for (int i = 0; i < 3; ++i) Queue(::getpid(), SIGRTMIN, i);
  const absl::StatusOr<int> count = signals.Dispatch();
  if (child == 0) ::_exit(ran == 1 && count.ok() && *count == 1 ? 0 : 1);
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_THAT(count, IsOkAndHolds(3));
  EXPECT_EQ(ran, 303);
}

TEST_F(SignalRouterTest, AChildOfARawForkHasThePreviousDispositionAndDisturbsNobody) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++count; }).ok());
  const pid_t child = ::_Fork();  // without the at-fork handlers
  if (child == 0) {
    ::kill(::getpid(), SIGUSR1);
    ::_exit(0);
  }
  EXPECT_TRUE(DiedOf(StatusOf(child), SIGUSR1));
  EXPECT_FALSE(IsReadable(signals.poll_fd()));

  ::raise(SIGUSR1);
  const pid_t user = ::_Fork();
  if (user == 0) {
    const bool refused = signals.Dispatch().status().code() == absl::StatusCode::kFailedPrecondition;
    const bool empty = signals.pending() == 0 && !signals.HasHandler(SIGUSR1);
    SignalDispatcher own = MakeDispatcher();
    int own_count = 0;
    const bool on = own.On(SIGUSR1, [&](const SignalInfo&) { ++own_count; }).ok();
    ::raise(SIGUSR1);
    const bool dispatched = own.Dispatch().value_or(0) == 1 && own_count == 1;
    signals = MakeDispatcher();  // the inherited one is destroyed here
    ::_exit(refused && empty && on && dispatched ? 0 : 1);
  }
  EXPECT_EQ(StatusOf(user), 0);
  EXPECT_TRUE(IsReadable(signals.poll_fd()));
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
}

// A child from which the kernel takes the handlers, where the C library's fork is not needed.
pid_t ForkWithoutHandlers() {
  const os::ScopedAllSignalsBlocked blocked;
  const auto forked = os::ForkWithPidfd(os::Handlers::kReset);
  return std::holds_alternative<os::ForkedProcess>(forked) ? std::get<os::ForkedProcess>(forked).pid : -1;
}

bool HearsItself() {
  SignalDispatcher own = MakeDispatcher();
  int count = 0;
  if (!own.On(SIGUSR1, [&](const SignalInfo&) { ++count; }).ok()) return false;
  ::raise(SIGUSR1);
  return own.Dispatch().value_or(0) == 1 && count == 1;
}

TEST_F(SignalRouterTest, AChildWithoutHandlersHasItsOwnAndDisturbsNobody) {
  SignalDispatcher signals = MakeDispatcher();
  int count = 0;
  ASSERT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++count; }).ok());
  const pid_t child = ForkWithoutHandlers();
  if (child == 0) {
    const bool heard = HearsItself();
    signals = MakeDispatcher();  // the inherited one is destroyed here
    ::_exit(heard && HearsItself() ? 0 : 1);
  }
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(signals.pending(), 0u);
  ::raise(SIGUSR1);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(count, 1);
}

TEST_F(SignalRouterTest, AChildWithoutHandlersIgnoresWhatItsParentIgnoredBefore) {
  const auto child = InChild([] {
    SetDisposition(SIGUSR1, SIG_IGN);
    SignalDispatcher signals = MakeDispatcher();
    ASSERT_TRUE(signals.On(SIGUSR1, IgnoreIt).ok());
    const pid_t grandchild = ForkWithoutHandlers();
    if (grandchild == 0) {
      ::raise(SIGUSR1);
      ::_exit(HearsItself() ? 0 : 1);
    }
    EXPECT_EQ(StatusOf(grandchild), 0);
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, AGrandchildIsNotConcernedWithWhatItsParentHasFreed) {
  SignalDispatcher signals = MakeDispatcher();
  ASSERT_TRUE(signals.On(SIGUSR1, IgnoreIt).ok());
  const pid_t child = ForkWithoutHandlers();
  if (child == 0) {
    {
      const SignalDispatcher freed = std::move(signals);
    }
    int failed = 0;
    for (const bool without_handlers : {true, false}) {
      const pid_t grandchild = without_handlers ? ForkWithoutHandlers() : ::fork();
      if (grandchild == 0) ::_exit(HearsItself() ? 0 : 1);
      if (StatusOf(grandchild) != 0) ++failed;
    }
    ::_exit(failed);
  }
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(SignalRouterTest, ASignalToAChildThatSharesMemoryIsTheChilds) {
  SignalDispatcher signals = MakeDispatcher();
  ASSERT_TRUE(signals.On(SIGUSR1, IgnoreIt).ok());
  const pid_t child = ::vfork();
  if (child == 0) {
    ::kill(::getpid(), SIGUSR1);
    ::_exit(0);
  }
  EXPECT_TRUE(DiedOf(StatusOf(child), SIGUSR1));
  EXPECT_EQ(signals.pending(), 0u);
  EXPECT_FALSE(IsReadable(signals.poll_fd()));
  ::raise(SIGUSR1);
  EXPECT_THAT(signals.Dispatch(), IsOkAndHolds(1));
}

TEST_F(SignalRouterTest, ASpawnedProgramHasDispositionsAndMaskFromBefore) {
  SignalDispatcher signals = MakeDispatcher();
  ASSERT_TRUE(signals.On(SIGTERM, IgnoreIt).ok());
  pid_t child;
  std::string path = "/bin/cat";
  char* const argv[] = {path.data(), nullptr};
  int input[2];
  ASSERT_EQ(::pipe(input), 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
  ::posix_spawn_file_actions_addclose(&actions, input[0]);
  ::posix_spawn_file_actions_addclose(&actions, input[1]);
  ASSERT_EQ(::posix_spawn(&child, path.c_str(), &actions, nullptr, argv, environ), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(testing::SignalSet(child, "SigCgt") & (uint64_t{1} << (SIGTERM - 1)), 0u);
  EXPECT_EQ(testing::SignalSet(child, "SigBlk"), BlockedSignals());
  ::kill(child, SIGTERM);
  EXPECT_TRUE(DiedOf(StatusOf(child), SIGTERM));
  ::close(input[0]);
  ::close(input[1]);
  EXPECT_EQ(signals.pending(), 0u);
}

// While it lives, another process sends SIGUSR1 without a pause to this one and to all that it forks. For a child of the
// test: this process gets a group of its own, and ignores the signal where no dispatcher takes it.
class Fire {
 public:
  Fire() {
    ::setpgid(0, 0);
    SetDisposition(SIGUSR1, SIG_IGN);
    sender_ = ::fork();
    if (sender_ == 0) {
      while (::kill(0, SIGUSR1) == 0) {
      }
      ::_exit(1);
    }
  }
  ~Fire() {
    ::kill(sender_, SIGKILL);
    EXPECT_TRUE(DiedOf(StatusOf(sender_), SIGKILL));
  }
  Fire(const Fire&) = delete;
  Fire& operator=(const Fire&) = delete;

 private:
  pid_t sender_;
};

TEST_F(SignalRouterTest, SignalsToParentAndChildrenAroundForksReachTheirOwnDispatchersOnly) {
  const auto child = InChild([] {
    std::optional<Fire> fire(std::in_place);
    SignalDispatcher signals = MakeDispatcher();
    int count = 0;
    EXPECT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++count; }).ok());
    for (int round = 0; round < testing::Rounds(1'000); ++round) {
      const int before = count;
      const pid_t forked = ::fork();
      if (forked == 0) {
        SignalDispatcher own = MakeDispatcher();
        int own_count = 0;
        const bool on = own.On(SIGUSR1, [&](const SignalInfo&) { ++own_count; }).ok();
        if (round % 2 == 0) {
          while (own_count == 0 && own.Wait(absl::InfiniteDuration()).ok()) {
          }
        }
        ::_exit(on && count == before ? 0 : 1);
      }
      EXPECT_TRUE(signals.Dispatch().ok());
      EXPECT_EQ(StatusOf(forked), 0);
    }
    fire.reset();
    while (signals.Dispatch().value_or(0) > 0) {
    }
    EXPECT_GT(count, 0);
    EXPECT_FALSE(IsReadable(signals.poll_fd()));  // no child has rung it
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, AThreadedProcessForksUnderFire) {
  const auto child = InChild([] {
    const Fire fire;
    SignalDispatcher signals = MakeDispatcher();
    EXPECT_TRUE(signals.On(SIGUSR1, IgnoreIt).ok());
    std::atomic<bool> done = false;
    std::thread other([&done] {  // its handler may be running when the fork is made
      while (!done) ::pthread_kill(::pthread_self(), SIGUSR1);
    });
    for (int round = 0; round < testing::Rounds(500); ++round) {
      const pid_t forked = ::fork();
      if (forked == 0) {
        signals = MakeDispatcher();
        SignalDispatcher own = MakeDispatcher();
        ::_exit(own.On(SIGUSR1, IgnoreIt).ok() && own.Dispatch().ok() ? 0 : 1);
      }
      EXPECT_EQ(StatusOf(forked), 0);
      EXPECT_TRUE(signals.Dispatch().ok());
    }
    done = true;
    other.join();
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, DispatchersComeAndGoWhileOtherThreadsHandleSignals) {
  const auto child = InChild([] {
    const Fire fire;
    std::atomic<bool> done = false;
    std::vector<std::thread> others;
    for (int i = 0; i < 2; ++i) {
      others.emplace_back([&done] {
        while (!done) ::pthread_kill(::pthread_self(), SIGUSR1);
      });
    }
    int count = 0;
    for (int round = 0; round < testing::Rounds(2'000) || count == 0; ++round) {
      SignalDispatcher signals = MakeDispatcher();
      EXPECT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++count; }).ok());
      EXPECT_TRUE(signals.Dispatch().ok());
      EXPECT_TRUE(round % 2 == 0 || signals.Off(SIGUSR1).ok());
    }
    done = true;
    for (std::thread& other : others) other.join();
  });
  EXPECT_TRUE(child.ok());
}

TEST_F(SignalRouterTest, TenThousandSignalsHandledByManyThreadsAreAllThere) {
  SignalDispatcher signals = MakeDispatcher();
  constexpr int kSignals = 10'000;
  std::vector<int> times(kSignals);
  int count = 0;
  ASSERT_TRUE(signals
                  .On(SIGRTMIN,
                      [&](const SignalInfo& info) {
                        ++times.at(info.value);
                        ++count;
                      })
                  .ok());
  const pid_t receiver = ::getpid();
  testing::Gate start;
  const pid_t sender = ::fork();
  if (sender == 0) {
    start.Pass();
    for (int i = 0; i < kSignals; ++i) Queue(receiver, SIGRTMIN, i);
    ::_exit(0);
  }
  testing::Gate end;
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) others.emplace_back([&end] { end.Pass(); });
  start.Open();
  while (count < kSignals) ASSERT_THAT(signals.Wait(absl::InfiniteDuration()), testing::IsOk());
  EXPECT_THAT(times, ::testing::Each(1));
  for (size_t i = 0; i < others.size(); ++i) end.Open();
  for (std::thread& other : others) other.join();
  EXPECT_EQ(StatusOf(sender), 0);
  EXPECT_EQ(signals.pending(), 0u);
}

TEST_F(SignalRouterTest, AFloodOnAnotherThreadDrownsNoOtherSignal) {
  SignalDispatcher signals = MakeDispatcher();
  int floods = 0;
  std::vector<SignalInfo> others;
  ASSERT_TRUE(signals.On(SIGUSR1, [&](const SignalInfo&) { ++floods; }).ok());
  ASSERT_TRUE(signals.On(SIGUSR2, [&](const SignalInfo& info) { others.push_back(info); }).ok());
  const uint64_t mask = BlockedSignals();
  std::thread([] {
    for (int i = 0; i < kTooMany; ++i) ::pthread_kill(::pthread_self(), SIGUSR1);
    ::pthread_kill(::pthread_self(), SIGUSR2);
  }).join();
  while (others.empty()) ASSERT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
  ASSERT_THAT(signals.Dispatch(), testing::IsOk());
  EXPECT_GE(floods, static_cast<int>(SignalInbox::kHighWater));
  ASSERT_EQ(others.size(), 1u);
  EXPECT_EQ(others[0].signo, SIGUSR2);
  EXPECT_EQ(others[0].code, SI_TKILL);  // as the sender's, although it came by way of another thread
  EXPECT_EQ(others[0].sender_pid, ::getpid());
  EXPECT_EQ(BlockedSignals(), mask);
}

TEST_F(SignalRouterTest, EachThreadsDispatcherSeesEverySignalOfABurst) {
  constexpr int kSignals = 4'000;
  const pid_t receiver = ::getpid();
  testing::Gate ready;
  const auto receive = [&ready] {
    SignalDispatcher signals = MakeDispatcher();
    std::vector<int> times(kSignals);
    int count = 0;
    EXPECT_TRUE(signals
                    .On(SIGRTMIN,
                        [&](const SignalInfo& info) {
                          ++times.at(info.value);
                          ++count;
                        })
                    .ok());
    ready.Open();
    while (count < kSignals) EXPECT_TRUE(signals.Wait(absl::InfiniteDuration()).ok());
    EXPECT_THAT(times, ::testing::Each(1));
  };
  const pid_t sender = ::fork();
  if (sender == 0) {
    ready.Pass();
    ready.Pass();
    for (int i = 0; i < kSignals; ++i) Queue(receiver, SIGRTMIN, i);
    ::_exit(0);
  }
  SignalDispatcher last = MakeDispatcher();  // keeps the signal handled when the first of them is done
  ASSERT_TRUE(last.On(SIGUSR1, IgnoreIt).ok());
  std::thread other(receive);
  receive();
  other.join();
  EXPECT_EQ(StatusOf(sender), 0);
}

}  // namespace
}  // namespace ko
