#include "ko/manager/restart_tracker.h"

#include <algorithm>
#include <optional>

#include "absl/algorithm/container.h"

namespace ko {

bool RestartTracker::Wants(const ExitStatus& status) const {
  if (const std::optional<int> code = status.exit_code(); code.has_value()) {
    if (absl::c_linear_search(policy_.prevent_codes, *code)) return false;
    if (absl::c_linear_search(policy_.force_codes, *code)) return true;
  }
  switch (policy_.when) {
    case RestartPolicy::When::kNever:
      return false;
    case RestartPolicy::When::kOnFailure:
      return !status.ok();
    case RestartPolicy::When::kOnAbnormalEnd:
      return !status.exit_code().has_value();
    case RestartPolicy::When::kAlways:
      break;
  }
  return true;
}

bool RestartTracker::HasRoom(absl::Duration now) const {
  if (policy_.max_restarts == RestartPolicy::kUnlimited) return true;
  const auto oldest_that_counts = absl::c_upper_bound(restarts_, now - policy_.window);
  return restarts_.end() - oldest_that_counts < policy_.max_restarts;
}

bool RestartTracker::CountRestart(absl::Duration now) {
  if (!HasRoom(now)) return false;
  if (policy_.max_restarts == RestartPolicy::kUnlimited) return true;
  while (!restarts_.empty() && restarts_.front() <= now - policy_.window) restarts_.pop_front();
  restarts_.push_back(now);
  return true;
}

absl::Duration RestartTracker::NextDelay(double random) {
  const absl::Duration delay = next_delay_ * (1 + policy_.jitter * (2 * random - 1));
  // An initial delay of zero grows from a millisecond, or it would not grow.
  const absl::Duration next =
      std::min(std::max(next_delay_, absl::Milliseconds(1)) * policy_.delay_factor, policy_.max_delay);
  // After a fork a store is a page to be copied.
  if (next != next_delay_) next_delay_ = next;
  return delay;
}

RestartTracker::Decision RestartTracker::OnEnd(const ExitStatus& status, absl::Duration run_time,
                                               absl::Duration now, double random) {
  if (!Wants(status)) return {Action::kStayDown};
  if (run_time >= policy_.stable_after) next_delay_ = policy_.initial_delay;
  if (CountRestart(now)) return {Action::kRestart, NextDelay(random)};
  switch (policy_.at_limit) {
    case RestartPolicy::AtLimit::kGiveUp:
      return {Action::kGiveUp};
    case RestartPolicy::AtLimit::kEscalate:
      return {Action::kEscalate};
    case RestartPolicy::AtLimit::kHold:
      break;
  }
  // Held restarts do not count: the window empties, and then the delay is what this one leaves, the largest.
  next_delay_ = policy_.max_delay;
  return {Action::kRestart, NextDelay(random)};
}

bool RestartTracker::IsSureToRestartAtOnce(absl::Duration now) const {
  if (policy_.when != RestartPolicy::When::kAlways || !policy_.prevent_codes.empty()) return false;
  if (next_delay_ > absl::ZeroDuration()) return false;
  return HasRoom(now);
}

}  // namespace ko
