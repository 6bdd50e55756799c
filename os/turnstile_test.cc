#include "ko/os/turnstile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <new>
#include <random>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;
using ::testing::ElementsAre;

const Deadline kNever = Deadline::After(absl::InfiniteDuration());

struct Shared {
  RobustFutex word;
  std::atomic<uint32_t> inside;
  std::atomic<uint64_t> visits;
  std::atomic<uint32_t> order[8];
  std::atomic<uint32_t> arrived;
};

class TurnstileTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<SharedMapping> mapping = SharedMapping::Create(sizeof(Shared));
    ASSERT_THAT(mapping, IsOk());
    mapping_ = *std::move(mapping);
    shared_ = new (mapping_.data()) Shared();
  }
  void TearDown() override {
    mapping_ = SharedMapping();
    LeakCheckedTest::TearDown();
  }
  pid_t Fork(absl::FunctionRef<void()> body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::_exit(HasFailure() ? 1 : 0);
    }
    return child;
  }
  // One that goes inside and stays there.
  pid_t ForkHolder() {
    const pid_t holder = Fork([&] {
      EXPECT_THAT(EnterTurnstile(shared_->word, kNever), IsOk());
      shared_->inside = 1;
      while (true) ::pause();
    });
    while (shared_->inside == 0) {
    }
    return holder;
  }
  // One that sleeps in front, and notes its number when it is inside.
  pid_t ForkVisitor(uint32_t number) {
    const pid_t visitor = Fork([&] {
      EXPECT_THAT(EnterTurnstile(shared_->word, kNever), IsOk());
      shared_->order[shared_->arrived++] = number;
      LeaveTurnstile(shared_->word);
    });
    EXPECT_TRUE(AwaitState(visitor, 'S'));
    return visitor;
  }
  int Wait(pid_t child) {
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int Kill(pid_t child) {
    ::kill(child, SIGKILL);
    return Wait(child);
  }

  SharedMapping mapping_;
  Shared* shared_ = nullptr;
};

TEST_F(TurnstileTest, IsFreeAfterwards) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(EnterTurnstile(shared_->word, kNever), IsOk());
    EXPECT_EQ(shared_->word.word, static_cast<uint32_t>(::gettid()));
    LeaveTurnstile(shared_->word);
    EXPECT_EQ(shared_->word.word, 0u);
  }
}

TEST_F(TurnstileTest, ADeathInsideLetsTheFirstOneInAndThenTheOthersInTheirOrder) {
  const pid_t holder = ForkHolder();
  const std::vector<pid_t> visitors = {ForkVisitor(1), ForkVisitor(2), ForkVisitor(3), ForkVisitor(4)};
  EXPECT_EQ(Kill(holder), -SIGKILL);
  for (const pid_t visitor : visitors) EXPECT_EQ(Wait(visitor), 0);
  EXPECT_THAT(std::vector<uint32_t>(shared_->order, shared_->order + 4), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(shared_->word.word, 0u);
}

TEST_F(TurnstileTest, ADeathInFrontCostsTheOthersNothing) {
  const pid_t holder = ForkHolder();
  const pid_t first = ForkVisitor(1), second = ForkVisitor(2);
  EXPECT_EQ(Kill(first), -SIGKILL);
  EXPECT_EQ(Kill(holder), -SIGKILL);
  EXPECT_EQ(Wait(second), 0);
}

TEST_F(TurnstileTest, TheDeathOfOneThatWasWokenWakesTheNext) {
  const pid_t holder = ForkHolder();
  const pid_t first = ForkVisitor(1), second = ForkVisitor(2);
  // Stopped, it takes the wake-up but does not go on.
  ::kill(first, SIGSTOP);
  ASSERT_TRUE(AwaitState(first, 'T'));
  EXPECT_EQ(Kill(holder), -SIGKILL);
  EXPECT_EQ(Kill(first), -SIGKILL);
  EXPECT_EQ(Wait(second), 0);
}

TEST_F(TurnstileTest, AMarkOfSleepersThatHaveAllDiedLetsANewcomerIn) {
  const pid_t holder = ForkHolder();
  const pid_t first = ForkVisitor(1);
  ::kill(first, SIGSTOP);
  ASSERT_TRUE(AwaitState(first, 'T'));
  EXPECT_EQ(Kill(holder), -SIGKILL);
  EXPECT_EQ(Kill(first), -SIGKILL);
  EXPECT_THAT(EnterTurnstile(shared_->word, kNever), IsOk());
  LeaveTurnstile(shared_->word);
  EXPECT_EQ(shared_->word.word, 0u);
}

TEST_F(TurnstileTest, TimeThatIsOverIsDeadlineExceeded) {
  const pid_t holder = ForkHolder();
  for (const absl::Duration timeout : {absl::ZeroDuration(), absl::Milliseconds(20)}) {
    const absl::Duration start = MonotonicNow();
    EXPECT_THAT(EnterTurnstile(shared_->word, Deadline::After(timeout)),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
    EXPECT_GE(MonotonicNow() - start, timeout);
  }
  EXPECT_EQ(Kill(holder), -SIGKILL);
  EXPECT_THAT(EnterTurnstile(shared_->word, Deadline::After(absl::ZeroDuration())), IsOk());
  LeaveTurnstile(shared_->word);
}

std::atomic<uint32_t> alarms = 0;

TEST_F(TurnstileTest, AnInterruptIsCancelledBeforeAndDuringTheSleep) {
  const pid_t holder = ForkHolder();
  const pid_t visitor = Fork([&] {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++alarms; };
    ::sigaction(SIGUSR1, &action, nullptr);
    const Interrupt interrupt = {&alarms, 0};
    EXPECT_THAT(EnterTurnstile(shared_->word, kNever, interrupt), StatusIs(absl::StatusCode::kCancelled));
    EXPECT_THAT(EnterTurnstile(shared_->word, kNever, interrupt), StatusIs(absl::StatusCode::kCancelled));
  });
  ASSERT_TRUE(AwaitState(visitor, 'S'));
  ::kill(visitor, SIGUSR1);
  EXPECT_EQ(Wait(visitor), 0);
  EXPECT_EQ(Kill(holder), -SIGKILL);
}

TEST_F(TurnstileTest, AWordThatNamesNobodyIsDataLoss) {
  shared_->word.word = 0x3ffffffe;
  EXPECT_THAT(EnterTurnstile(shared_->word, kNever), StatusIs(absl::StatusCode::kDataLoss));
}

// Five go in and out, each killed and followed by another one now and then. Nobody comes in beside another one.
TEST_F(TurnstileTest, OneIsInsideAtATimeAndNobodyIsForgottenWhateverIsKilled) {
  const auto fork_visitor = [&] {
    return Fork([&] {
      const auto self = static_cast<uint32_t>(::getpid());
      while (true) {
        EXPECT_THAT(EnterTurnstile(shared_->word, kNever), IsOk());
        shared_->inside = self;
        ++shared_->visits;
        if (shared_->inside != self) ::_exit(2);
        LeaveTurnstile(shared_->word);
      }
    });
  };
  std::vector<pid_t> visitors;
  for (int i = 0; i < 5; ++i) visitors.push_back(fork_visitor());
  std::minstd_rand random(1);
  constexpr int kRounds = testing::Rounds(1000);
  for (int i = 0; i < kRounds; ++i) {
    const uint64_t visits = shared_->visits;
    while (shared_->visits < visits + random() % 100 + 1) ::usleep(10);
    pid_t& victim = visitors[random() % visitors.size()];
    ASSERT_EQ(Kill(victim), -SIGKILL);
    victim = fork_visitor();
  }
  for (const pid_t visitor : visitors) EXPECT_EQ(Kill(visitor), -SIGKILL);
}

}  // namespace
}  // namespace ko::os
