#include "demos/supervisor/chart.h"

#include "gtest/gtest.h"

namespace ko::demos {
namespace {

using enum Change::Kind;

TEST(ChartRowTest, ShowsWhenAProcessRunsAndCrashes) {
  EXPECT_EQ(ChartRow({{absl::Seconds(1), kStarted},
                      {absl::Seconds(4), kCrashed},
                      {absl::Seconds(6), kStarted},
                      {absl::Seconds(9), kEnded}},
                     absl::Seconds(10), 10),
            ".###!.###.");
}

TEST(ChartRowTest, ACrashIsSeenThoughTheProcessIsBackAtOnce) {
  EXPECT_EQ(ChartRow({{absl::ZeroDuration(), kStarted},
                      {absl::Milliseconds(2100), kCrashed},
                      {absl::Milliseconds(2200), kStarted}},
                     absl::Seconds(5), 5),
            "##!##");
}

TEST(ChartRowTest, IsEmptyWithoutTimeOrWidth) {
  EXPECT_EQ(ChartRow({}, absl::ZeroDuration(), 5), "");
  EXPECT_EQ(ChartRow({}, absl::Seconds(1), 0), "");
  EXPECT_EQ(ChartRow({{absl::Seconds(2), kStarted}}, absl::Seconds(1), 3), "..#");
}

}  // namespace
}  // namespace ko::demos
