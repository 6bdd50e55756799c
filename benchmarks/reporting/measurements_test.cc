#include "ko/benchmarks/reporting/measurements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "ko/testing/status_matchers.h"

namespace ko::benchmarks {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

Json Report(const std::string& benchmarks) {
  return *Json::Parse("{\"context\": {\"date\": \"now\"}, \"benchmarks\": [" + benchmarks + "]}");
}

TEST(MeasurementsTest, ANameIsSubjectContenderAndParameters) {
  const BenchmarkName name = BenchmarkName::Parse("Channel/ko/bytes:8/pairs:1/real_time");
  EXPECT_EQ(name.subject, "Channel");
  EXPECT_EQ(name.contender, "ko");
  EXPECT_THAT(name.parameters, ElementsAre(Pair("bytes", 8), Pair("pairs", 1)));
  EXPECT_EQ(name.ToString(), "Channel/ko/bytes:8/pairs:1");
  EXPECT_EQ(BenchmarkName::Parse("Alone").ToString(), "Alone");
  EXPECT_EQ(BenchmarkName::Parse("Subject/n:3").ToString(), "Subject/n:3");
}

TEST(MeasurementsTest, HowItIsRunIsNoPartOfAName) {
  EXPECT_EQ(BenchmarkName::Parse("ExitHandling/ko/live:10000/iterations:500/manual_time").ToString(),
            "ExitHandling/ko/live:10000");
  EXPECT_EQ(BenchmarkName::Parse("A/b/min_time:0.500/repeats:3/threads:2").ToString(), "A/b");
}

TEST(MeasurementsTest, NumbersAreWrittenOut) {
  EXPECT_EQ(FormatNumber(1'000'000), "1000000");
  EXPECT_EQ(FormatNumber(0), "0");
  EXPECT_EQ(FormatNumber(0.5), "0.5");
}

TEST(MeasurementsTest, CountersOfABenchmarksOwnAreKept) {
  const absl::StatusOr<Measurements> read = ReadMeasurements(Report(
      R"({"name": "A/x", "run_type": "iteration", "iterations": 7, "threads": 1, "cpu_time": 3, "real_time": 2,
          "time_unit": "us", "wakeups": 0})"));
  ASSERT_THAT(read, testing::IsOk());
  EXPECT_THAT(read->begin()->second.counters, ElementsAre(Pair("wakeups", ElementsAre(0))));
}

TEST(MeasurementsTest, RepetitionsBelongTogetherInNanoseconds) {
  const absl::StatusOr<Measurements> read = ReadMeasurements(Report(
      R"({"name": "A/x", "run_type": "iteration", "real_time": 2, "time_unit": "us", "items_per_second": 5},
         {"name": "A/x", "run_type": "iteration", "real_time": 3000, "time_unit": "ns", "items_per_second": 6},
         {"name": "A/x_median", "run_type": "aggregate", "real_time": 9, "time_unit": "ns"},
         {"name": "A/y", "run_type": "iteration", "error_message": "no", "real_time": 0, "time_unit": "ns"})"));
  ASSERT_THAT(read, testing::IsOk());
  ASSERT_EQ(read->size(), 1u);
  EXPECT_THAT(read->begin()->second.nanoseconds, ElementsAre(2000, 3000));
  EXPECT_THAT(read->begin()->second.items_per_second, ElementsAre(5, 6));
}

TEST(MeasurementsTest, WhatIsNoReportIsRefused) {
  EXPECT_THAT(ReadMeasurements(*Json::Parse("{}")), testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadMeasurements(Report(R"({"name": "A"})")),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MeasurementsTest, MergedReportsHaveAllBenchmarksAndOneContext) {
  const std::string benchmark =
      R"({"name": "A/x", "run_type": "iteration", "real_time": 1, "time_unit": "ns"})";
  const Json merged = Merge({Report(benchmark), Report(benchmark)}, {{"kernel", "Linux"}});
  EXPECT_EQ(merged["context"].members().size(), 2u);
  EXPECT_EQ(merged["context"]["kernel"].text(), "Linux");
  EXPECT_EQ(ReadMeasurements(merged)->begin()->second.nanoseconds.size(), 2u);
}

}  // namespace
}  // namespace ko::benchmarks
