#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "absl/status/statusor.h"
#include "ko/pool/process_pool.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/leaks.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

class PoolFaultsTest : public testing::LeakCheckedTest {};

int Double(int number) { return 2 * number; }

TEST_F(PoolFaultsTest, Create) {
  const auto count = SweepFaults("ProcessPool::Create", [](FaultRound& round) {
    round.Try([] { return ProcessPool::Create({.workers = 2}).status(); });
  });
  EXPECT_GT(count.injected, 20);
}

TEST_F(PoolFaultsTest, Submit) {
  const auto count = SweepFaults("ProcessPool::Submit", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      absl::StatusOr<ProcessPool> pool = ProcessPool::Create({.workers = 1});
      if (!pool.ok()) return pool.status();
      const absl::StatusOr<int> doubled = pool->Submit<Double>(21).Get();
      EXPECT_EQ(doubled.value_or(42), 42);
      absl::Status finished = pool->Finish();
      return doubled.ok() ? finished : doubled.status();
    });
  });
  EXPECT_GT(count.injected, 20);
}

TEST_F(PoolFaultsTest, Map) {
  SweepFaults("ProcessPool::Map", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      absl::StatusOr<ProcessPool> pool = ProcessPool::Create({.workers = 2});
      if (!pool.ok()) return pool.status();
      for (const absl::StatusOr<int>& each : pool->Map<Double>(std::vector<int>(50, 21))) {
        if (!each.ok()) return each.status();
        EXPECT_EQ(*each, 42);
      }
      return absl::OkStatus();
    });
  });
}

}  // namespace
}  // namespace ko
