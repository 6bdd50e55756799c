#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "ko/proctitle/process_title.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/leaks.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

class TitleFaultsTest : public testing::LeakCheckedTest {};

TEST_F(TitleFaultsTest, TitleIsSet) {
  const auto count = SweepFaults("SetProcessTitle, GetProcessTitle", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      const absl::Status status = SetProcessTitle("a title");
      EXPECT_EQ(GetProcessTitle(), status.ok() ? "a title" : GetProcessTitle());
      return status;
    });
  });
  EXPECT_GT(count.injected, 0);
}

}  // namespace
}  // namespace ko
