#include "ko/manager/process_options.h"

namespace ko {

absl::Status ProcessOptions::Validate() const {
  if (stop.has_value()) {
    if (absl::Status valid = stop->Validate(); !valid.ok()) return valid;
  }
  if (absl::Status valid = liveness.Validate(); !valid.ok()) return valid;
  if (liveness.start_deadline != absl::InfiniteDuration() && ready != ReadyWhen::kNotified) {
    return absl::InvalidArgumentError(
        "ProcessOptions: a start_deadline is for a process that tells when it is ready "
        "(ReadyWhen::kNotified)");
  }
  return recycle.Validate();
}

}  // namespace ko
