#include "ko/manager/restart_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using ::testing::Values;

constexpr absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

TEST(RestartPolicyValidate, DefaultIsOk) { EXPECT_THAT(RestartPolicy().Validate(), IsOk()); }

TEST(RestartPolicyValidate, BoundariesAreOk) {
  EXPECT_THAT((RestartPolicy{.initial_delay = Ms(0),
                             .delay_factor = 1,
                             .max_delay = Ms(0),
                             .jitter = 0,
                             .stable_after = Ms(0),
                             .max_restarts = 0,
                             .window = Ms(0)}
                   .Validate()),
              IsOk());
  EXPECT_THAT((RestartPolicy{.initial_delay = Ms(7),
                             .max_delay = Ms(7),
                             .jitter = 1,
                             .stable_after = absl::InfiniteDuration(),
                             .max_restarts = RestartPolicy::kUnlimited,
                             .window = absl::InfiniteDuration(),
                             .prevent_codes = {0},
                             .force_codes = {255}}
                   .Validate()),
              IsOk());
}

struct BadPolicy {
  const char* name;
  RestartPolicy policy;
  const char* field;
};

class RestartPolicyValidateRefuses : public ::testing::TestWithParam<BadPolicy> {};

TEST_P(RestartPolicyValidateRefuses, NamesTheField) {
  EXPECT_THAT(GetParam().policy.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().field)));
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

INSTANTIATE_TEST_SUITE_P(
    EachField, RestartPolicyValidateRefuses,
    Values(BadPolicy{"InitialNegative", {.initial_delay = Ms(-1)}, "initial_delay"},
           BadPolicy{"InitialInfinite", {.initial_delay = absl::InfiniteDuration()}, "initial_delay"},
           BadPolicy{"MaxInfinite", {.max_delay = absl::InfiniteDuration()}, "max_delay"},
           BadPolicy{"MaxBelowInitial", {.initial_delay = Ms(10), .max_delay = Ms(9)}, "max_delay"},
           BadPolicy{"MaxNegative", {.initial_delay = Ms(0), .max_delay = Ms(-1)}, "max_delay"},
           BadPolicy{"FactorBelowOne", {.delay_factor = 0.99}, "delay_factor"},
           BadPolicy{"FactorNegative", {.delay_factor = -2}, "delay_factor"},
           BadPolicy{"FactorNaN", {.delay_factor = kNaN}, "delay_factor"},
           BadPolicy{"JitterNegative", {.jitter = -0.01}, "jitter"},
           BadPolicy{"JitterAboveOne", {.jitter = 1.01}, "jitter"},
           BadPolicy{"JitterNaN", {.jitter = kNaN}, "jitter"},
           BadPolicy{"StableNegative", {.stable_after = Ms(-1)}, "stable_after"},
           BadPolicy{"PreventNegative", {.prevent_codes = {1, -1}}, "prevent_codes"},
           BadPolicy{"PreventAbove255", {.prevent_codes = {256}}, "prevent_codes"},
           BadPolicy{"ForceNegative", {.force_codes = {-1}}, "force_codes"},
           BadPolicy{"ForceAbove255", {.force_codes = {255, 256}}, "force_codes"},
           BadPolicy{"InBothLists", {.prevent_codes = {3, 4}, .force_codes = {4}}, "4 is in"},
           BadPolicy{"RestartsNegative", {.max_restarts = -1}, "max_restarts"},
           BadPolicy{"WindowNegative", {.window = -absl::InfiniteDuration()}, "window"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace ko
