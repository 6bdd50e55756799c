#include "ko/benchmarks/reporting/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Measurements Of(const std::string& name, std::vector<double> nanoseconds) {
  return {{BenchmarkName::Parse(name), {std::move(nanoseconds), {}}}};
}

TEST(CompareTest, WhatIsSlowerBeyondChanceIsTold) {
  const std::vector<Change> changes =
      Compare(Of("A/ko", {100, 101, 102, 103, 104}), Of("A/ko", {120, 121, 122, 123, 124}));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(IsSlower(changes[0], 0.1));
  EXPECT_FALSE(IsSlower(changes[0], 0.5));
  EXPECT_THAT(DescribeChanges(changes, 0.1), HasSubstr("slower  A/ko: 122 ns, was 102 ns (x1.20"));
  EXPECT_THAT(DescribeChanges(changes, 0.1), HasSubstr("1 compared: 1 slower, 0 faster"));
}

TEST(CompareTest, WhatIsFasterIsNoRegression) {
  const std::vector<Change> changes =
      Compare(Of("A/ko", {120, 121, 122, 123, 124}), Of("A/ko", {100, 101, 102, 103, 104}));
  EXPECT_FALSE(IsSlower(changes[0], 0));
  EXPECT_THAT(DescribeChanges(changes, 0.1), HasSubstr("faster  A/ko"));
}

TEST(CompareTest, NoiseIsNotTold) {
  const std::vector<Change> changes =
      Compare(Of("A/ko", {100, 140, 102, 150, 104}), Of("A/ko", {145, 101, 151, 103, 141}));
  EXPECT_FALSE(IsSlower(changes[0], 0.1));
  EXPECT_THAT(DescribeChanges(changes, 0.1), Not(HasSubstr("A/ko")));
}

TEST(CompareTest, FourRepetitionsAreEnoughToTell) {
  EXPECT_TRUE(IsSlower(Compare(Of("A/ko", {1, 2, 3, 4}), Of("A/ko", {5, 6, 7, 8}))[0], 0.1));
  EXPECT_FALSE(IsSlower(Compare(Of("A/ko", {1, 2, 3}), Of("A/ko", {5, 6, 7}))[0], 0.1));
}

TEST(CompareTest, WhatOneDoesNotHaveIsLeftOut) {
  EXPECT_TRUE(Compare(Of("A/ko", {1}), Of("B/ko", {1})).empty());
  EXPECT_TRUE(Compare(Of("A/ko", {0}), Of("A/ko", {1})).empty());
}

}  // namespace
}  // namespace ko::benchmarks
