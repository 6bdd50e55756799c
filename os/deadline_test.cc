#include "ko/os/deadline.h"

#include <gtest/gtest.h>

#include <ctime>

namespace ko::os {
namespace {

TEST(MonotonicNow, IsTheMonotonicClock) {
  timespec before, after;
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  const absl::Duration now = MonotonicNow();
  ::clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_LE(absl::DurationFromTimespec(before), now);
  EXPECT_LE(now, absl::DurationFromTimespec(after));
}

TEST(Deadline, ZeroAndNegativeTimeoutsHaveComeAlready) {
  for (const absl::Duration timeout :
       {absl::ZeroDuration(), -absl::Nanoseconds(1), -absl::InfiniteDuration()}) {
    const Deadline deadline = Deadline::After(timeout);
    EXPECT_TRUE(deadline.expired()) << timeout;
    EXPECT_FALSE(deadline.infinite()) << timeout;
    EXPECT_EQ(deadline.remaining(), absl::ZeroDuration()) << timeout;
    timespec storage;
    const timespec* const remaining = deadline.RemainingTimespec(storage);
    ASSERT_NE(remaining, nullptr);
    EXPECT_EQ(remaining->tv_sec, 0);
    EXPECT_EQ(remaining->tv_nsec, 0);
  }
}

TEST(Deadline, InfiniteOneNeverComes) {
  const Deadline deadline = Deadline::After(absl::InfiniteDuration());
  EXPECT_TRUE(deadline.infinite());
  EXPECT_FALSE(deadline.expired());
  EXPECT_EQ(deadline.remaining(), absl::InfiniteDuration());
  timespec storage;
  EXPECT_EQ(deadline.RemainingTimespec(storage), nullptr);
  EXPECT_EQ(deadline.AbsoluteTimespec(storage), nullptr);
}

TEST(Deadline, RemainingIsWithinTheTimeout) {
  const Deadline deadline = Deadline::After(absl::Hours(1));
  EXPECT_FALSE(deadline.expired());
  EXPECT_GT(deadline.remaining(), absl::ZeroDuration());
  EXPECT_LE(deadline.remaining(), absl::Hours(1));
}

TEST(Deadline, TimeoutBeyondTheClockIsAValidTimespec) {
  // Longer than any timespec can tell, yet not infinite.
  const Deadline deadline = Deadline::After(absl::Seconds(int64_t{1} << 62));
  EXPECT_FALSE(deadline.expired());
  timespec storage;
  const timespec* const remaining = deadline.RemainingTimespec(storage);
  ASSERT_NE(remaining, nullptr);
  EXPECT_GT(remaining->tv_sec, 0);
  EXPECT_GE(remaining->tv_nsec, 0);
  EXPECT_LT(remaining->tv_nsec, 1'000'000'000);
}

TEST(Deadline, AtTellsItsPoint) {
  const absl::Duration point = MonotonicNow() + absl::Seconds(90);
  const Deadline deadline = Deadline::At(point);
  EXPECT_EQ(deadline.at(), point);
  timespec storage;
  ASSERT_NE(deadline.AbsoluteTimespec(storage), nullptr);
  EXPECT_EQ(absl::DurationFromTimespec(storage), point);
}

TEST(Deadline, PastPointHasCome) {
  EXPECT_TRUE(Deadline::At(MonotonicNow() - absl::Seconds(1)).expired());
  EXPECT_EQ(Deadline::At(MonotonicNow() - absl::Seconds(1)).remaining(), absl::ZeroDuration());
}

}  // namespace
}  // namespace ko::os
