#include "ko/manager/recycle_policy.h"

#include <gtest/gtest.h>

#include <vector>

#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr int64_t kMegabyte = 1 << 20;

RecyclePolicy Everything() {
  return {.max_tasks = 100,
          .max_age = absl::Hours(1),
          .age_spread = 0.5,
          .soft_memory_bytes = 100 * kMegabyte,
          .hard_memory_bytes = 200 * kMegabyte};
}

TEST(RecyclePolicyTest, Matrix) {
  struct Case {
    RecycleView view;
    Recycle expected;
  };
  const std::vector<Case> cases = {
      {{.tasks = 99, .age = absl::Minutes(59), .memory_bytes = 100 * kMegabyte}, Recycle::kNo},
      {{.tasks = 100}, Recycle::kTasks},
      {{.age = absl::Hours(1)}, Recycle::kAge},
      {{.memory_bytes = 100 * kMegabyte + 1}, Recycle::kSoftMemory},
      {{.memory_bytes = 200 * kMegabyte + 1}, Recycle::kHardMemory},
      {{.tasks = 1000, .age = absl::Hours(9), .memory_bytes = 300 * kMegabyte}, Recycle::kHardMemory},
      {{.tasks = 1000, .memory_bytes = 0}, Recycle::kTasks},
  };
  for (const Case& each : cases) EXPECT_EQ(CheckRecycle(Everything(), each.view, 0.5), each.expected);
}

TEST(RecyclePolicyTest, NothingIsAskedByDefault) {
  EXPECT_FALSE(RecyclePolicy().IsAnything());
  EXPECT_EQ(CheckRecycle({}, {.tasks = 1 << 30, .age = absl::Hours(10'000), .memory_bytes = 1LL << 50}, 0.0),
            Recycle::kNo);
}

TEST(RecyclePolicyTest, AgeIsSpread) {
  const RecyclePolicy policy = Everything();
  EXPECT_EQ(RecycleAge(policy, 0), absl::Minutes(30));
  EXPECT_EQ(RecycleAge(policy, 0.5), absl::Hours(1));
  EXPECT_EQ(CheckRecycle(policy, {.age = absl::Minutes(30)}, 0), Recycle::kAge);
  EXPECT_EQ(CheckRecycle(policy, {.age = absl::Minutes(80)}, 0.9), Recycle::kNo);
  EXPECT_EQ(RecycleAge({}, 0.3), absl::InfiniteDuration());
}

TEST(RecyclePolicyTest, WhatMakesNoSenseIsInvalid) {
  EXPECT_THAT(RecyclePolicy().Validate(), IsOk());
  EXPECT_THAT(Everything().Validate(), IsOk());
  for (const RecyclePolicy& policy :
       {RecyclePolicy{.max_tasks = 0}, RecyclePolicy{.max_tasks = -1},
        RecyclePolicy{.max_age = absl::ZeroDuration()}, RecyclePolicy{.age_spread = 1},
        RecyclePolicy{.age_spread = -0.1}, RecyclePolicy{.soft_memory_bytes = 0},
        RecyclePolicy{.hard_memory_bytes = -1}, RecyclePolicy{.memory_interval = absl::ZeroDuration()}}) {
    EXPECT_THAT(policy.Validate(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace ko
