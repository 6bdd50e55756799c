#include "ko/benchmarks/reporting/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ko/testing/leaks.h"

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Table MakeTable(std::string_view subject, const std::vector<std::string>& names) {
  Measurements measurements;
  double value = 1000;
  for (const std::string& name : names) {
    measurements[BenchmarkName::Parse(name)] = {{value, value}, {1e9 / value}};
    value *= 2;
  }
  for (Table& table : MakeTables(measurements)) {
    if (table.subject.name == subject) return table;
  }
  return {};
}

std::vector<Plot> Plots(std::string_view subject, const std::vector<std::string>& names) {
  return MakePlots(MakeTable(subject, names), "id");
}

TEST(PlotTest, ALineOverTheAxisForEachCombinationOfTheOtherParameters) {
  const std::vector<Plot> plots =
      Plots("MapGet", {"MapGet/ko/keys:10/bytes:8", "MapGet/ko/keys:1000/bytes:8",
                       "MapGet/ko/keys:10/bytes:64", "MapGet/ko/keys:1000/bytes:64"});
  ASSERT_EQ(plots.size(), 2u);
  EXPECT_EQ(plots[0].title, "bytes 8");
  EXPECT_EQ(plots[1].title, "bytes 64");
  EXPECT_THAT(plots[0].script, HasSubstr("set logscale x"));
  EXPECT_THAT(plots[0].script, HasSubstr("set logscale y"));
  EXPECT_THAT(plots[0].script, HasSubstr("'keys in the map'"));
  EXPECT_NE(plots[0].script.find("'id_0'"), plots[1].script.find("'id_0'"));  // ids differ in one page
}

TEST(PlotTest, NoMemoryAtAllHasAPlaceOnTheAxisOfPowers) {
  const std::vector<Plot> plots =
      Plots("ForkWait", {"ForkWait/ko/rss_mb:0", "ForkWait/ko/rss_mb:1024", "ForkWait/raw_fork/rss_mb:0"});
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_THAT(plots[0].script, HasSubstr("set nonlinear x via log10(x+256) inverse 10**x-256\n"));
  EXPECT_THAT(plots[0].script, HasSubstr("'0' 0"));
}

TEST(PlotTest, OurLineIsTheFirstAndTheThickest) {
  const std::vector<Plot> plots = Plots("ForkWait", {"ForkWait/a/rss_mb:1", "ForkWait/a/rss_mb:2",
                                                     "ForkWait/ko/rss_mb:1", "ForkWait/ko/rss_mb:2"});
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_THAT(plots[0].script, HasSubstr("plot $d0 with linespoints linecolor '#D55E00' linewidth 3.5"));
}

TEST(PlotTest, WithoutAnAxisThereAreBars) {
  const std::vector<Plot> plots = Plots("Lock", {"Lock/ko", "Lock/pthread_robust"});
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_THAT(plots[0].script, HasSubstr("with boxes"));
  EXPECT_THAT(plots[0].script, HasSubstr("1.00 µs"));
}

TEST(PlotTest, OnePlaceOnTheAxisIsNoLine) {
  const std::vector<Plot> plots = Plots("ForkWait", {"ForkWait/ko/rss_mb:0", "ForkWait/raw_fork/rss_mb:0"});
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_EQ(plots[0].title, "rss_mb 0");
  EXPECT_THAT(plots[0].script, HasSubstr("with boxes"));
}

TEST(PlotTest, EveryPlotThatTheProjectPromisesHasItsAxis) {
  const struct {
    const char *subject, *first, *second;
  } kCases[] = {{"ForkWait", "ForkWait/ko/rss_mb:0", "ForkWait/ko/rss_mb:4096"},
                {"Latency", "Latency/ko/per_second:1000", "Latency/ko/per_second:10000"},
                {"Channel", "Channel/ko/bytes:8/pairs:1", "Channel/ko/bytes:64/pairs:1"},
                {"MapGet", "MapGet/ko/keys:10/bytes:8", "MapGet/ko/keys:1000/bytes:8"},
                {"ExitHandling", "ExitHandling/ko/live:1", "ExitHandling/ko/live:10000"},
                {"Respawn", "Respawn/ko/rss_mb:0", "Respawn/ko/rss_mb:1024"}};
  for (const auto& c : kCases) {
    const std::vector<Plot> plots = Plots(c.subject, {c.first, c.second});
    ASSERT_EQ(plots.size(), 1u) << c.subject;
    EXPECT_THAT(plots[0].script, HasSubstr("with linespoints")) << c.subject;
  }
}

TEST(PlotTest, ACounterAndAnEmptyTableAreNotDrawn) {
  EXPECT_TRUE(Plots("IdleWakeups", {"IdleWakeups/ko/children:10"}).empty());
  EXPECT_TRUE(MakePlots(Table(), "id").empty());
}

TEST(PlotTest, WhatWasNotMeasuredIsNotDrawn) {
  // A subject of items, of benchmarks that count none.
  const auto plots = [](const std::vector<std::string>& names) {
    Measurements measurements;
    for (const std::string& name : names) measurements[BenchmarkName::Parse(name)] = {{1000}};
    return MakePlots(MakeTables(measurements)[0], "id");
  };
  EXPECT_TRUE(plots({"Channel/ko/bytes:8/pairs:1", "Channel/ko/bytes:64/pairs:1"}).empty());
  EXPECT_TRUE(plots({"Channel/ko/bytes:8/pairs:1"}).empty());
}

TEST(PlotTest, NamesCannotLeaveTheirQuotes) {
  const std::vector<Plot> plots = Plots("Lock", {"Lock/ko'\nset output 'x"});
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_THAT(plots[0].script, HasSubstr("'ko'' set output ''x'"));
  EXPECT_THAT(plots[0].script, Not(HasSubstr("\nset output")));
}

class DrawTest : public testing::LeakCheckedTest {};

TEST_F(DrawTest, GnuplotDrawsLinesAndBars) {
  if (!GnuplotVersion().ok()) GTEST_SKIP() << "there is no gnuplot on this machine";
  for (const auto& plots : {Plots("Lock", {"Lock/ko", "Lock/raw_futex"}),
                            Plots("ForkWait", {"ForkWait/ko/rss_mb:0", "ForkWait/ko/rss_mb:1024",
                                               "ForkWait/raw_fork/rss_mb:0"})}) {
    const absl::StatusOr<std::string> svg = Draw(plots[0]);
    ASSERT_TRUE(svg.ok()) << svg.status();
    EXPECT_TRUE(svg->starts_with("<svg"));
    EXPECT_THAT(*svg, HasSubstr("</svg>"));
  }
}

TEST_F(DrawTest, WhatGnuplotDoesNotUnderstandIsAnError) {
  if (!GnuplotVersion().ok()) GTEST_SKIP() << "there is no gnuplot on this machine";
  EXPECT_TRUE(absl::IsInternal(Draw({.title = "", .script = "no such command\n"}).status()));
  EXPECT_TRUE(absl::IsInternal(Draw({.title = "", .script = ""}).status()));
}

}  // namespace
}  // namespace ko::benchmarks
