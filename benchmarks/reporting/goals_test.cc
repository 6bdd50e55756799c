#include "ko/benchmarks/reporting/goals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "ko/benchmarks/reporting/subjects.h"

namespace ko::benchmarks {
namespace {

using Kind = Goal::Kind;
using Outcome = Verdict::Outcome;

Measurements Times(double ours, double theirs) {
  return {{BenchmarkName::Parse("Lock/ko"), {{ours, ours, ours}, {}}},
          {BenchmarkName::Parse("Lock/other"), {{theirs, theirs, theirs}, {}}}};
}

Verdict JudgeOne(const Goal& goal, const Measurements& measurements) {
  return Judge(std::span(&goal, 1), measurements)[0];
}

TEST(GoalsTest, ATimeIsJudgedByItsRatio) {
  const Goal goal = {"", "Lock/ko", "Lock/other", Kind::kTimesAsLong, 1.2};
  const struct {
    double ours, theirs, reached;
    Outcome outcome;
  } kCases[] = {{10, 10, 1, Outcome::kHolds},
                {12, 10, 1.2, Outcome::kHolds},
                {13, 10, 1.3, Outcome::kMisses},
                {5, 10, 0.5, Outcome::kHolds}};
  for (const auto& c : kCases) {
    const Verdict verdict = JudgeOne(goal, Times(c.ours, c.theirs));
    EXPECT_DOUBLE_EQ(verdict.reached, c.reached);
    EXPECT_EQ(verdict.outcome, c.outcome) << c.ours;
  }
}

TEST(GoalsTest, SpeedIsTheOtherWayRound) {
  const Goal goal = {"", "Lock/ko", "Lock/other", Kind::kTimesAsFast, 30};
  EXPECT_EQ(JudgeOne(goal, Times(10, 300)).outcome, Outcome::kHolds);
  EXPECT_EQ(JudgeOne(goal, Times(10, 299)).outcome, Outcome::kMisses);
  EXPECT_DOUBLE_EQ(JudgeOne(goal, Times(10, 299)).reached, 29.9);
}

TEST(GoalsTest, ItemsAreJudgedByTheirRate) {
  const Goal goal = {"", "Channel/ko/bytes:8", "Channel/pipe/bytes:8", Kind::kTimesAsMany, 8};
  Measurements measurements = {{BenchmarkName::Parse("Channel/ko/bytes:8/pairs:1"), {{1}, {16e6}}},
                               {BenchmarkName::Parse("Channel/pipe/bytes:8/pairs:1"), {{1}, {2e6}}}};
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kHolds);
  EXPECT_DOUBLE_EQ(JudgeOne(goal, measurements).reached, 8);
  measurements.begin()->second.items_per_second = {15e6};
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kMisses);
}

TEST(GoalsTest, ABoundWithoutAReferenceIsJudgedByItself) {
  const Measurements measurements = {{BenchmarkName::Parse("JobQueue/ko/bytes:64"), {{420}, {2e6}}}};
  EXPECT_EQ(JudgeOne({"", "JobQueue/ko/bytes:64", "", Kind::kNanosecondsAtMost, 1000}, measurements).outcome,
            Outcome::kHolds);
  EXPECT_EQ(JudgeOne({"", "JobQueue/ko/bytes:64", "", Kind::kNanosecondsAtMost, 400}, measurements).outcome,
            Outcome::kMisses);
  EXPECT_EQ(JudgeOne({"", "JobQueue/ko/bytes:64", "", Kind::kPerSecondAtLeast, 1e6}, measurements).outcome,
            Outcome::kHolds);
  EXPECT_EQ(JudgeOne({"", "JobQueue/ko/bytes:64", "", Kind::kPerSecondAtLeast, 3e6}, measurements).outcome,
            Outcome::kMisses);
}

TEST(GoalsTest, ACounterMayBeNothing) {
  const Goal goal = {"", "IdleWakeups/ko", "wakeups", Kind::kCounterAtMost, 0};
  Measurements measurements = {{BenchmarkName::Parse("IdleWakeups/ko"), {{2e9}, {}, {{"wakeups", {0, 0}}}}}};
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kHolds);
  EXPECT_EQ(DescribeBound(goal), "at most 0 wakeups");
  EXPECT_EQ(DescribeReached(JudgeOne(goal, measurements)), "0");
  measurements.begin()->second.counters["wakeups"] = {3, 3};
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kMisses);
  EXPECT_EQ(DescribeReached(JudgeOne(goal, measurements)), "3");
  measurements.begin()->second.counters.clear();
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kNotMeasured);
}

TEST(GoalsTest, WithoutEitherFigureNothingIsJudged) {
  const Goal goal = {"", "Lock/ko", "Lock/other", Kind::kTimesAsLong, 1.2};
  Measurements measurements = Times(10, 10);
  measurements.erase(BenchmarkName::Parse("Lock/other"));
  EXPECT_EQ(JudgeOne(goal, measurements).outcome, Outcome::kNotMeasured);
  EXPECT_EQ(DescribeReached(JudgeOne(goal, measurements)), "");
  EXPECT_EQ(DescribeOutcome(JudgeOne(goal, {})), "not measured");
  // 0 is no time, and no divisor.
  EXPECT_EQ(JudgeOne(goal, Times(10, 0)).outcome, Outcome::kNotMeasured);
  // Items that nobody counted.
  EXPECT_EQ(JudgeOne({"", "Lock/ko", "Lock/other", Kind::kTimesAsMany, 1}, Times(10, 10)).outcome,
            Outcome::kNotMeasured);
}

TEST(GoalsTest, ABoundAmongTheRepetitionsIsWithinTheNoise) {
  const Goal goal = {"", "Lock/ko", "Lock/other", Kind::kTimesAsLong, 1.2};
  Measurements measurements = Times(10, 10);
  measurements.begin()->second.nanoseconds = {8, 11, 16};
  const Verdict verdict = JudgeOne(goal, measurements);
  EXPECT_EQ(verdict.outcome, Outcome::kHolds);
  EXPECT_TRUE(verdict.within_noise);
  EXPECT_EQ(DescribeOutcome(verdict), "holds, within the noise");
  EXPECT_EQ(DescribeReached(verdict), "1.10 x (0.95 to 1.35)");
  EXPECT_FALSE(JudgeOne(goal, Times(10, 10)).within_noise);
}

TEST(GoalsTest, BoundsAreTold) {
  EXPECT_EQ(DescribeBound({"", "a/ko", "a/b", Kind::kTimesAsLong, 1.2}), "at most 1.2 x the time of a/b");
  EXPECT_EQ(DescribeBound({"", "a/ko", "a/b", Kind::kTimesAsFast, 30}), "at least 30 x as fast as a/b");
  EXPECT_EQ(DescribeBound({"", "a/ko", "a/b", Kind::kTimesAsMany, 8}), "at least 8 x as many as a/b");
  EXPECT_EQ(DescribeBound({"", "a/ko", "", Kind::kNanosecondsAtMost, 1000}), "at most 1.00 µs");
  EXPECT_EQ(DescribeBound({"", "a/ko", "", Kind::kPerSecondAtLeast, 1e6}), "at least 1.00 M/s");
}

TEST(GoalsTest, AllGoalsNameKnownSubjectsAndOurs) {
  std::set<std::pair<std::string, std::string>> pairs;
  for (const Goal& goal : Goals()) {
    const BenchmarkName figure = BenchmarkName::Parse(goal.figure);
    EXPECT_NE(FindSubject(figure.subject).title, figure.subject) << goal.figure << " has no subject";
    EXPECT_TRUE(IsOurs(figure.contender)) << goal.figure;
    const bool has_reference = goal.kind != Kind::kNanosecondsAtMost && goal.kind != Kind::kPerSecondAtLeast;
    EXPECT_EQ(has_reference, !goal.reference.empty()) << goal.figure;
    EXPECT_GE(goal.bound, 0);
    EXPECT_TRUE(pairs.emplace(goal.figure, goal.reference).second) << goal.figure << " twice";
  }
}

}  // namespace
}  // namespace ko::benchmarks
