#include "ko/benchmarks/reporting/time_left.h"

#include <gtest/gtest.h>

namespace ko::benchmarks {
namespace {

TEST(TimeLeftTest, BeforeAnythingHasRunItIsTheGuess) {
  EXPECT_EQ(TimeLeft({3, 7}, 2, absl::Seconds(1)).Estimate(), absl::Seconds(20));
  EXPECT_EQ(TimeLeft({}, 2, absl::Seconds(1)).Estimate(), absl::ZeroDuration());
}

TEST(TimeLeftTest, WhatHasNotRunTakesAsLongABenchmarkAsTheOthers) {
  TimeLeft left({3, 7}, 2, absl::Seconds(1));
  left.Note(0, absl::Seconds(6));  // 2 s each
  EXPECT_EQ(left.Estimate(), absl::Seconds(6 + 2 * 14));
}

TEST(TimeLeftTest, WhatHasRunTakesAsLongAsTheLastTime) {
  TimeLeft left({3, 7}, 3, absl::Seconds(1));
  left.Note(0, absl::Seconds(6));
  left.Note(1, absl::Seconds(70));
  left.Note(0, absl::Seconds(8));
  EXPECT_EQ(left.Estimate(), absl::Seconds(8 + 2 * 70));
}

TEST(TimeLeftTest, NothingIsLeftAtTheEndAndItNeverFallsBelow) {
  TimeLeft left({1}, 1, absl::Seconds(1));
  left.Note(0, absl::Seconds(6));
  EXPECT_EQ(left.Estimate(), absl::ZeroDuration());
  left.Note(0, absl::Seconds(6));
  EXPECT_EQ(left.Estimate(), absl::ZeroDuration());
}

TEST(TimeLeftTest, AProgramWithoutBenchmarksCostsNothing) {
  EXPECT_EQ(TimeLeft({0}, 5, absl::Seconds(1)).Estimate(), absl::ZeroDuration());
}

}  // namespace
}  // namespace ko::benchmarks
