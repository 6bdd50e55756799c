#include "ko/manager/stop_plan.h"

#include "absl/strings/str_cat.h"

namespace ko {

absl::Status StopPlan::Validate() const {
  for (const StopStep& step : steps) {
    if (step.signal <= 0 || step.signal > SIGRTMAX) {
      return absl::InvalidArgumentError(absl::StrCat("StopPlan: ", step.signal, " is no signal"));
    }
    if (step.wait == absl::InfiniteDuration()) {
      return absl::InvalidArgumentError("StopPlan: an infinite wait would never end the process");
    }
  }
  return absl::OkStatus();
}

}  // namespace ko
