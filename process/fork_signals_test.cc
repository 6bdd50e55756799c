#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <utility>

#include "ko/os/shared_mapping.h"
#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// What Fork promises of signals: none that is sent to the child is lost or runs a handler of the parent's.

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;

class ForkSignalsTest : public testing::LeakCheckedTest {};

volatile std::sig_atomic_t handled = 0;

absl::Status InstallHandler() {
  struct sigaction action = {};
  action.sa_handler = [](int) { handled = handled + 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  return absl::OkStatus();
}

// Sleeps until a signal has been handled, without the gap between looking and sleeping.
int AwaitHandled() {
  sigset_t term, before;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, &before);
  while (handled == 0) ::sigsuspend(&before);
  return handled == 1 ? 42 : 1;
}

TEST_F(ForkSignalsTest, SignalSentAsForkReturnsIsHandledByTheChild) {
  handled = 0;
  for (int i = 0; i < testing::Rounds(2000); ++i) {
    ForkOptions options;
    options.setup = InstallHandler;
    absl::StatusOr<Child> child = Fork(AwaitHandled, std::move(options));
    ASSERT_THAT(child, IsOk());
    ASSERT_THAT(child->Kill(SIGTERM), IsOk());
    ASSERT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(42))) << "in round " << i;
  }
}

// The parent's handler would write to memory that it shares with the child.
TEST_F(ForkSignalsTest, ParentsHandlersNeverRunInTheChild) {
  static std::atomic<int>* ran_in_child = nullptr;
  static pid_t parent = 0;
  absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(sizeof(std::atomic<int>));
  ASSERT_THAT(mapping, IsOk());
  ran_in_child = static_cast<std::atomic<int>*>(mapping->data());
  InChild([] {
    parent = ::getpid();
    struct sigaction action = {};
    action.sa_handler = [](int) {
      if (::getpid() != parent) ran_in_child->fetch_add(1, std::memory_order_relaxed);
    };
    ::sigaction(SIGUSR1, &action, nullptr);
    for (int i = 0; i < testing::Rounds(500); ++i) {
      absl::StatusOr<Child> child = Fork([] {
        for (;;) ::pause();
      });
      child->Kill(SIGUSR1).IgnoreError();
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGUSR1)));
    }
  });
  EXPECT_EQ(ran_in_child->load(std::memory_order_relaxed), 0);
}

TEST_F(ForkSignalsTest, SignalsToTheWholeGroupDuringTheForkKillNoParent) {
  // Signals storm in from a child of the same process group while the parent forks: its own handlers stay in
  // force.
  InChild([] {
    ::setpgid(0, 0);
    ::signal(SIGUSR1, [](int) { handled = handled + 1; });
    ForkOptions ignoring;
    ignoring.setup = [] {
      ::signal(SIGUSR1, SIG_IGN);
      return absl::OkStatus();
    };
    ignoring.die_with_parent = true;
    absl::StatusOr<Child> storm = Fork(
        [] {
          for (;;) ::kill(0, SIGUSR1);
        },
        std::move(ignoring));
    EXPECT_THAT(storm, IsOk());
    for (int i = 0; i < testing::Rounds(200); ++i) {
      ForkOptions options;
      options.setup = [] {
        ::signal(SIGUSR1, SIG_IGN);
        return absl::OkStatus();
      };
      absl::StatusOr<Child> child = Fork([] { return 5; }, std::move(options));
      EXPECT_THAT(child, IsOk());
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(5)));
    }
    EXPECT_THAT(storm->Kill(SIGKILL), IsOk());
    EXPECT_THAT(storm->Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  });
}

TEST_F(ForkSignalsTest, ChildHasTheParentsMaskAndIgnoredSignalsAndNoHandler) {
  InChild([] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGUSR1, [](int) {});
    const uint64_t blocked = testing::SignalSet(::getpid(), "SigBlk");
    const uint64_t ignored = testing::SignalSet(::getpid(), "SigIgn");
    absl::StatusOr<Child> child = Fork([&] {
      EXPECT_EQ(testing::SignalSet(::getpid(), "SigBlk"), blocked);
      EXPECT_EQ(testing::SignalSet(::getpid(), "SigIgn"), ignored);
      EXPECT_EQ(testing::SignalSet(::getpid(), "SigCgt"), 0u);
    });
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
    EXPECT_EQ(testing::SignalSet(::getpid(), "SigBlk"), blocked) << "in the parent too";
  });
}

TEST_F(ForkSignalsTest, AllSignalsAreBlockedInSetup) {
  ForkOptions options;
  options.setup = [] {
    ::raise(SIGTERM);  // waits until the mask is the parent's
    return InstallHandler();
  };
  handled = 0;
  absl::StatusOr<Child> child = Fork([] { return handled == 1 ? 42 : 1; }, std::move(options));
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(42)));
}

TEST_F(ForkSignalsTest, PendingSignalsOfTheParentAreNotTheChilds) {
  InChild([] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::raise(SIGUSR2);
    absl::StatusOr<Child> child = Fork([] {
      sigset_t pending;
      ::sigpending(&pending);
      return ::sigismember(&pending, SIGUSR2) == 0 ? 0 : 1;
    });
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

}  // namespace
}  // namespace ko
