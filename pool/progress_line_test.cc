#include "ko/pool/progress_line.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "ko/pool/pool_options.h"

namespace ko {
namespace {

TEST(ProgressLineTest, TheTextTellsHowFarAndHowFast) {
  EXPECT_EQ(ProgressText({.done = 250, .failed = 0, .total = 1000}, "files", absl::Seconds(1)),
            "250 of 1000 files (25%), 250 a second, 3 s left");
  EXPECT_EQ(ProgressText({.done = 1000, .failed = 3, .total = 1000}, "files", absl::Seconds(2)),
            "1000 of 1000 files (100%), 500 a second, 3 failed");
}

TEST(ProgressLineTest, NothingDoneAndNothingToDoHaveATextToo) {
  EXPECT_EQ(ProgressText({.done = 0, .failed = 0, .total = 10}, "jobs", absl::ZeroDuration()),
            "0 of 10 jobs (0%), 0 a second");
  EXPECT_EQ(ProgressText({}, "jobs", absl::Seconds(1)), "0 of 0 jobs (100%), 0 a second");
}

}  // namespace
}  // namespace ko
