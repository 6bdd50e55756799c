#include "ko/manager/stop_plan.h"

#include "absl/strings/str_cat.h"
#include "ko/os/signal_number.h"

namespace ko {

absl::Status StopPlan::Validate() const {
  for (const StopStep& step : steps) {
    if (!os::IsSignalNumber(step.signal)) {
      return absl::InvalidArgumentError(absl::StrCat("StopPlan: ", step.signal, " is no signal"));
    }
    if (step.wait == absl::InfiniteDuration()) {
      return absl::InvalidArgumentError("StopPlan: an infinite wait would never end the process");
    }
  }
  return absl::OkStatus();
}

}  // namespace ko
