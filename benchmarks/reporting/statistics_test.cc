#include "ko/benchmarks/reporting/statistics.h"

#include <gtest/gtest.h>

namespace ko::benchmarks {
namespace {

TEST(StatisticsTest, MedianAndQuantiles) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(Quantile({1, 2, 3, 4, 5}, 0.25), 2);
  EXPECT_EQ(Quantile({1, 2, 3, 4, 5}, 7), 5);
}

TEST(StatisticsTest, SpreadIsAShareOfTheMedian) {
  EXPECT_EQ(Spread({}), 0);
  EXPECT_EQ(Spread({5}), 0);
  EXPECT_EQ(Spread({8, 9, 10, 11, 12}), 0.1);
}

// The exact values are in every table of the test: for 5 and 5 without overlap it is 0.008, and the approximation is near.
TEST(StatisticsTest, ClearDifferencesAreImprobable) {
  EXPECT_NEAR(MannWhitneyProbability({1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}), 0.012, 0.001);
  EXPECT_NEAR(MannWhitneyProbability({6, 7, 8, 9, 10}, {1, 2, 3, 4, 5}), 0.012, 0.001);
}

TEST(StatisticsTest, EqualSamplesAreProbable) {
  EXPECT_EQ(MannWhitneyProbability({1, 1, 1, 1}, {1, 1, 1, 1}), 1);
  EXPECT_GT(MannWhitneyProbability({1, 3, 5, 7}, {2, 4, 6, 8}), 0.5);
}

TEST(StatisticsTest, TooFewToTell) { EXPECT_EQ(MannWhitneyProbability({1, 2}, {8, 9, 10}), 1); }

}  // namespace
}  // namespace ko::benchmarks
