#include "ko/manager/timer_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace ko {
namespace {

using Timer = TimerQueue::Timer;

constexpr absl::Duration kSecond = absl::Seconds(1);

class TimerQueueTest : public ::testing::Test {
 protected:
  std::unique_ptr<Timer> Make(char name) {
    return std::make_unique<Timer>(queue_, [this, name] { ran_ += name; });
  }

  TimerQueue queue_;
  std::string ran_;
};

TEST_F(TimerQueueTest, RunsWhatIsDueEarliestFirst) {
  const auto a = Make('a'), b = Make('b'), c = Make('c');
  a->Set(3 * kSecond);
  b->Set(1 * kSecond);
  c->Set(5 * kSecond);
  EXPECT_EQ(queue_.next_at(), 1 * kSecond);
  EXPECT_EQ(queue_.RunDue(3 * kSecond), 2);
  EXPECT_EQ(ran_, "ba");
  EXPECT_EQ(queue_.next_at(), 5 * kSecond);
}

TEST_F(TimerQueueTest, OnesOfTheSameTimeRunInTheOrderOfTheirSetting) {
  const auto a = Make('a'), b = Make('b'), c = Make('c');
  for (const auto& each : {&c, &a, &b}) (*each)->Set(kSecond);
  queue_.RunDue(kSecond);
  EXPECT_EQ(ran_, "cab");
}

TEST_F(TimerQueueTest, RunsOnce) {
  const auto a = Make('a');
  a->Set(kSecond);
  EXPECT_EQ(queue_.RunDue(9 * kSecond), 1);
  EXPECT_EQ(a->at(), absl::InfiniteDuration());
  EXPECT_EQ(queue_.RunDue(9 * kSecond), 0);
  EXPECT_EQ(queue_.next_at(), absl::InfiniteDuration());
}

TEST_F(TimerQueueTest, SettingAgainMovesIt) {
  const auto a = Make('a');
  a->Set(kSecond);
  a->Set(2 * kSecond);
  EXPECT_EQ(queue_.RunDue(kSecond), 0);
  EXPECT_EQ(queue_.RunDue(2 * kSecond), 1);
}

TEST_F(TimerQueueTest, CancelledAndDestroyedOnesDoNotRun) {
  const auto a = Make('a');
  auto b = Make('b');
  a->Set(kSecond);
  b->Set(kSecond);
  a->Cancel();
  b.reset();
  EXPECT_EQ(queue_.RunDue(kSecond), 0);
  EXPECT_EQ(ran_, "");
}

TEST_F(TimerQueueTest, MayDestroyItselfAndOthersWhileItRuns) {
  auto other = Make('o');
  std::unique_ptr<Timer> self;
  const std::string keep = "held by the closure";
  self = std::make_unique<Timer>(queue_, [&, keep] {
    self.reset();
    other.reset();
    ran_ += keep[0];
  });
  self->Set(kSecond);
  other->Set(2 * kSecond);
  EXPECT_EQ(queue_.RunDue(3 * kSecond), 1);
  EXPECT_EQ(ran_, "h");
}

TEST_F(TimerQueueTest, MaySetItselfAgainWhileItRuns) {
  std::unique_ptr<Timer> self;
  self = std::make_unique<Timer>(queue_, [&] {
    ran_ += 'x';
    if (ran_.size() < 3) self->Set(static_cast<int>(ran_.size()) * kSecond);
  });
  self->Set(absl::ZeroDuration());
  EXPECT_EQ(queue_.RunDue(9 * kSecond), 3);
  EXPECT_EQ(ran_, "xxx");
}

}  // namespace
}  // namespace ko
