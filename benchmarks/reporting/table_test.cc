#include "ko/benchmarks/reporting/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ko::benchmarks {
namespace {

using ::testing::ElementsAre;

Measurements Locks() {
  return {{BenchmarkName::Parse("Lock/boost"), {{30}, {}}},
          {BenchmarkName::Parse("Lock/ko"), {{10, 11, 12}, {}}},
          {BenchmarkName::Parse("Lock/pthread_robust"), {{22}, {}}}};
}

TEST(TableTest, OursComeFirstAndThenTheBaseline) {
  const std::vector<Table> tables = MakeTables(Locks());
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_THAT(tables[0].contenders, ElementsAre("ko", "pthread_robust", "boost"));
  ASSERT_EQ(tables[0].rows.size(), 1u);
  EXPECT_EQ(tables[0].rows[0].cells[0].median, 11);
  EXPECT_EQ(tables[0].rows[0].cells[0].ratio, 0.5);
}

TEST(TableTest, ASubjectMayShowACounter) {
  const std::vector<Table> tables = MakeTables(
      {{BenchmarkName::Parse("IdleWakeups/ko/children:1000"), {{2e9}, {}, {{"wakeups", {0, 2, 9}}}}},
       {BenchmarkName::Parse("IdleWakeups/other/children:1000"), {{2e9}}}});
  ASSERT_EQ(tables.size(), 1u);
  ASSERT_EQ(tables[0].rows.size(), 1u);
  EXPECT_TRUE(tables[0].rows[0].cells[0].present);
  EXPECT_EQ(tables[0].rows[0].cells[0].median, 2);
  EXPECT_FALSE(tables[0].rows[0].cells[1].present);  // it has none
  EXPECT_EQ(FormatFigure(tables[0].subject, 2), "2");
}

TEST(TableTest, ARowForEachCombinationInOrder) {
  const std::vector<Table> tables = MakeTables({{BenchmarkName::Parse("New/a/n:100"), {{1}, {}}},
                                                {BenchmarkName::Parse("New/a/n:20"), {{2}, {}}},
                                                {BenchmarkName::Parse("New/b/n:20"), {{3}, {}}}});
  ASSERT_EQ(tables.size(), 1u);
  ASSERT_EQ(tables[0].rows.size(), 2u);
  EXPECT_EQ(FormatParameters(tables[0].rows[0].parameters), "n 20");
  EXPECT_FALSE(tables[0].rows[1].cells[1].present);
  EXPECT_EQ(tables[0].rows[0].cells[0].ratio, 0);  // nobody knows a baseline of it
}

TEST(TableTest, TheHeadlinesComeFirst) {
  const std::vector<Table> tables = MakeTables({{BenchmarkName::Parse("Another/ko"), {{1}, {}}},
                                                {BenchmarkName::Parse("Channel/ko/bytes:8"), {{1}, {5}}},
                                                {BenchmarkName::Parse("ForkWait/ko/rss_mb:0"), {{1}, {}}}});
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].subject.name, "ForkWait");
  EXPECT_EQ(tables[1].subject.name, "Channel");
  EXPECT_EQ(tables[1].rows[0].cells[0].median, 5);  // told in items
}

TEST(TableTest, FiguresHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(FormatTime(1.234), "1.23 ns");
  EXPECT_EQ(FormatTime(999.4), "999 ns");
  EXPECT_EQ(FormatTime(999.6), "1.00 µs");
  EXPECT_EQ(FormatTime(45.67e6), "45.7 ms");
  EXPECT_EQ(FormatTime(2e9), "2.00 s");
  EXPECT_EQ(FormatRate(40.8e6), "40.8 M/s");
  EXPECT_EQ(FormatRate(7), "7.00/s");
}

}  // namespace
}  // namespace ko::benchmarks
