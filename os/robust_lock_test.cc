#include "ko/os/robust_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::IsOk;
using ::ko::testing::IsOkAndHolds;
using ::ko::testing::StatusIs;

struct Shared {
  RobustFutex lock;
  std::atomic<uint64_t> first;  // the same as `second` whenever the lock is free
  std::atomic<uint64_t> second;
  std::atomic<uint64_t> rounds;
};

class RobustLockTest : public testing::LeakCheckedTest {
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
  pid_t Fork(absl::FunctionRef<int()> body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    return child;
  }
  int Wait(pid_t child) {
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  absl::StatusOr<RobustLockState> Acquire() { return AcquireRobustLock(shared_->lock); }
  void Release() { ReleaseRobustLock(shared_->lock); }

  SharedMapping mapping_;
  Shared* shared_ = nullptr;
};

TEST_F(RobustLockTest, IsFreeAfterItsRelease) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Acquire(), IsOkAndHolds(RobustLockState::kClean));
    EXPECT_EQ(shared_->lock.word, static_cast<uint32_t>(::gettid()));
    Release();
    EXPECT_EQ(shared_->lock.word, 0u);
  }
}

TEST_F(RobustLockTest, TheNextOneIsToldOfADeathOnce) {
  EXPECT_EQ(Wait(Fork([&] {
              EXPECT_THAT(Acquire(), IsOk());
              return ::kill(::getpid(), SIGKILL);
            })),
            -SIGKILL);
  EXPECT_THAT(Acquire(), IsOkAndHolds(RobustLockState::kHolderDied));
  Release();
  EXPECT_THAT(Acquire(), IsOkAndHolds(RobustLockState::kClean));
  Release();
}

TEST_F(RobustLockTest, AnotherDeathDuringTheRepairIsToldAgain) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Wait(Fork([&] {
                EXPECT_THAT(Acquire(),
                            IsOkAndHolds(i == 0 ? RobustLockState::kClean : RobustLockState::kHolderDied));
                return ::kill(::getpid(), SIGKILL);
              })),
              -SIGKILL);
  }
  EXPECT_THAT(Acquire(), IsOkAndHolds(RobustLockState::kHolderDied));
  Release();
}

TEST_F(RobustLockTest, ASleeperGetsItWhenTheHolderDies) {
  const pid_t holder = Fork([&] {
    EXPECT_THAT(Acquire(), IsOk());
    while (true) ::pause();
    return 0;
  });
  while (shared_->lock.word == 0) {
  }
  std::vector<pid_t> sleepers;
  for (int i = 0; i < 3; ++i) {
    sleepers.push_back(Fork([&] {
      const absl::StatusOr<RobustLockState> state = Acquire();
      Release();
      return state.ok() ? static_cast<int>(*state) : 100;
    }));
    ASSERT_TRUE(AwaitState(sleepers.back(), 'S'));
  }
  ::kill(holder, SIGKILL);
  EXPECT_EQ(Wait(holder), -SIGKILL);
  int told = 0;
  for (pid_t sleeper : sleepers) told += Wait(sleeper);
  EXPECT_EQ(told, static_cast<int>(RobustLockState::kHolderDied)) << "one of them";
}

TEST_F(RobustLockTest, TimeThatIsOverIsDeadlineExceededAndTheLockIsTheOthers) {
  const pid_t holder = Fork([&] {
    EXPECT_THAT(Acquire(), IsOk());
    while (true) ::pause();
    return 0;
  });
  while (shared_->lock.word == 0) {
  }
  for (const absl::Duration timeout : {absl::ZeroDuration(), -absl::Seconds(1), absl::Milliseconds(20)}) {
    const absl::Duration start = MonotonicNow();
    EXPECT_THAT(AcquireRobustLock(shared_->lock, Deadline::After(timeout)),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
    EXPECT_GE(MonotonicNow() - start, timeout);
  }
  EXPECT_FALSE(HoldsRobustLock(shared_->lock));
  ::kill(holder, SIGKILL);
  EXPECT_EQ(Wait(holder), -SIGKILL);
  EXPECT_THAT(AcquireRobustLock(shared_->lock, Deadline::After(absl::ZeroDuration())),
              IsOkAndHolds(RobustLockState::kHolderDied));
  EXPECT_TRUE(HoldsRobustLock(shared_->lock));
  Release();
}

TEST_F(RobustLockTest, AKeptOneLetsOthersBeTakenAndIsTakenFromTheDead) {
  RobustFutex* const other = new (static_cast<char*>(mapping_.data()) + 2048) RobustFutex();
  EXPECT_EQ(Wait(Fork([&] {
              EXPECT_THAT(Acquire(), IsOk());
              EXPECT_THAT(KeepRobustLock(shared_->lock), IsOk());
              EXPECT_THAT(AcquireRobustLock(*other), IsOk());
              EXPECT_THAT(KeepRobustLock(*other), IsOk());
              EXPECT_TRUE(HoldsRobustLock(shared_->lock));
              return ::kill(::getpid(), SIGKILL);
            })),
            -SIGKILL);
  for (RobustFutex* lock : {&shared_->lock, other}) {
    EXPECT_THAT(AcquireRobustLock(*lock), IsOkAndHolds(RobustLockState::kHolderDied));
    EXPECT_THAT(KeepRobustLock(*lock), IsOk());
  }
  ReleaseKeptRobustLock(shared_->lock);
  EXPECT_EQ(shared_->lock.word, 0u);
  ReleaseKeptRobustLock(*other);
  EXPECT_EQ(other->word, 0u);
}

TEST_F(RobustLockTest, AThreadThatEndsLeavesAKeptOneToASleeper) {
  std::atomic<bool> held = false, may_end = false;
  std::thread holder([&] {
    EXPECT_THAT(Acquire(), IsOk());
    EXPECT_THAT(KeepRobustLock(shared_->lock), IsOk());
    held = true;
    while (!may_end) std::this_thread::yield();
  });
  while (!held) std::this_thread::yield();
  const pid_t sleeper = Fork([&] {
    const absl::StatusOr<RobustLockState> state = Acquire();
    Release();
    return state.ok() ? static_cast<int>(*state) : 100;
  });
  ASSERT_TRUE(AwaitState(sleeper, 'S'));
  may_end = true;
  holder.join();
  EXPECT_EQ(Wait(sleeper), static_cast<int>(RobustLockState::kHolderDied));
}

TEST_F(RobustLockTest, AWordThatNamesNobodyIsDataLoss) {
  shared_->lock.word = 0x3ffffffe;
  EXPECT_THAT(Acquire(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(RobustLockTest, TakingItTwiceIsDataLossAndNoDeadlock) {
  ASSERT_THAT(Acquire(), IsOk());
  EXPECT_THAT(Acquire(), StatusIs(absl::StatusCode::kDataLoss));
  Release();
}

TEST_F(RobustLockTest, OneAtATimeIsInside) {
  constexpr int kRounds = 20'000;
  const auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_THAT(Acquire(), IsOk());
      shared_->first.store(shared_->first.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      Release();
    }
    return 0;
  };
  const std::array<pid_t, 3> children = {Fork(work), Fork(work), Fork(work)};
  for (pid_t child : children) EXPECT_EQ(Wait(child), 0);
  EXPECT_EQ(shared_->first, uint64_t{3 * kRounds});
}

TEST_F(RobustLockTest, ThreadsMayShareItToo) {
  constexpr int kRounds = 20'000;
  uint64_t count = 0;  // plain: the lock orders it
  const auto work = [&] {
    for (int i = 0; i < kRounds; ++i) {
      ASSERT_THAT(Acquire(), IsOk());
      ++count;
      Release();
    }
  };
  std::thread first(work);
  std::thread second(work);
  first.join();
  second.join();
  EXPECT_EQ(count, uint64_t{2 * kRounds});
}

TEST_F(RobustLockTest, KilledUsersNeverBlockTheOthers) {
  const auto work = [&] {
    while (true) {
      const absl::StatusOr<RobustLockState> state = Acquire();
      if (!state.ok()) return 1;
      if (*state == RobustLockState::kHolderDied) {
        shared_->first.store(shared_->second.load());
      } else if (shared_->first.load() != shared_->second.load()) {
        return 2;
      }
      shared_->first.store(shared_->first.load() + 1);
      shared_->second.store(shared_->second.load() + 1);
      ++shared_->rounds;
      Release();
    }
  };
  std::array<pid_t, 4> children;
  for (pid_t& child : children) child = Fork(work);
  for (int i = 0; i < testing::Rounds(1000); ++i) {
    pid_t& victim = children[i % children.size()];
    for (volatile int spin = i * 7 % 3000; spin > 0; spin = spin - 1) {
    }
    ::kill(victim, SIGKILL);
    ASSERT_EQ(Wait(victim), -SIGKILL);
    const uint64_t before = shared_->rounds;
    victim = Fork(work);
    while (shared_->rounds == before) {
    }
  }
  for (pid_t child : children) {
    ::kill(child, SIGKILL);
    EXPECT_EQ(Wait(child), -SIGKILL);
  }
}

}  // namespace
}  // namespace ko::os
