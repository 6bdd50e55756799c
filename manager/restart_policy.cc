#include "ko/manager/restart_policy.h"

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace ko {
namespace {

bool IsFiniteAndNotNegative(absl::Duration duration) {
  return duration >= absl::ZeroDuration() && duration != absl::InfiniteDuration();
}

// The kernel keeps 8 bits: another number would never be seen.
bool IsExitCode(int code) { return code >= 0 && code <= 255; }

}  // namespace

absl::Status RestartPolicy::Validate() const {
  if (!IsFiniteAndNotNegative(initial_delay)) {
    return absl::InvalidArgumentError("RestartPolicy: initial_delay is negative or infinite");
  }
  if (!IsFiniteAndNotNegative(max_delay) || max_delay < initial_delay) {
    return absl::InvalidArgumentError("RestartPolicy: max_delay is infinite or below initial_delay");
  }
  if (!(delay_factor >= 1)) return absl::InvalidArgumentError("RestartPolicy: delay_factor is below 1");
  if (!(jitter >= 0 && jitter <= 1))
    return absl::InvalidArgumentError("RestartPolicy: jitter is outside [0, 1]");
  if (stable_after < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("RestartPolicy: stable_after is negative");
  }
  if (max_restarts < 0) return absl::InvalidArgumentError("RestartPolicy: max_restarts is negative");
  if (window < absl::ZeroDuration()) return absl::InvalidArgumentError("RestartPolicy: window is negative");
  for (const int code : prevent_codes) {
    if (!IsExitCode(code))
      return absl::InvalidArgumentError("RestartPolicy: prevent_codes has one outside [0, 255]");
  }
  for (const int code : force_codes) {
    if (!IsExitCode(code))
      return absl::InvalidArgumentError("RestartPolicy: force_codes has one outside [0, 255]");
    if (absl::c_linear_search(prevent_codes, code)) {
      return absl::InvalidArgumentError(
          absl::StrCat("RestartPolicy: ", code, " is in prevent_codes and force_codes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ko
