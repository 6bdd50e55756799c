#include "ko/manager/restart_policy.h"

#include <algorithm>

namespace ko {
namespace {

bool IsFiniteAndNotNegative(absl::Duration duration) {
  return duration >= absl::ZeroDuration() && duration != absl::InfiniteDuration();
}

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
  return absl::OkStatus();
}

bool RestartTracker::Wants(const ExitStatus& status) const {
  switch (policy_.when) {
    case RestartPolicy::When::kNever:
      return false;
    case RestartPolicy::When::kOnFailure:
      return !status.ok();
    case RestartPolicy::When::kAlways:
      break;
  }
  return true;
}

RestartTracker::Decision RestartTracker::OnEnd(const ExitStatus& status, absl::Duration run_time,
                                               absl::Duration now, double random) {
  if (!Wants(status)) return {Action::kStayDown};
  if (policy_.max_restarts != RestartPolicy::kUnlimited) {
    while (!restarts_.empty() && restarts_.front() <= now - policy_.window) restarts_.pop_front();
    if (restarts_.size() >= static_cast<size_t>(policy_.max_restarts)) return {Action::kGiveUp};
    restarts_.push_back(now);
  }
  if (run_time >= policy_.stable_after) next_delay_ = policy_.initial_delay;
  const absl::Duration delay = next_delay_ * (1 + policy_.jitter * (2 * random - 1));
  // An initial delay of zero grows from a millisecond, or it would not grow.
  next_delay_ =
      std::min(std::max(next_delay_, absl::Milliseconds(1)) * policy_.delay_factor, policy_.max_delay);
  return {Action::kRestart, delay};
}

}  // namespace ko
