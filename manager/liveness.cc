#include "ko/manager/liveness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ko/os/signal_number.h"

namespace ko {

bool LivenessPolicy::IsAnything() const {
  return std::min({start_deadline, heartbeat_deadline, task_deadline}) != absl::InfiniteDuration();
}

absl::Status LivenessPolicy::Validate() const {
  const auto refuse = [](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("LivenessPolicy: ", what));
  };
  if (start_deadline <= absl::ZeroDuration()) return refuse("start_deadline is not positive");
  if (heartbeat_deadline <= absl::ZeroDuration()) return refuse("heartbeat_deadline is not positive");
  if (task_deadline <= absl::ZeroDuration()) return refuse("task_deadline is not positive");
  if (!os::IsSignalNumber(hung_signal)) return refuse("hung_signal is no signal");
  if (hung_grace < absl::ZeroDuration() || hung_grace == absl::InfiniteDuration()) {
    return refuse("hung_grace is negative or infinite");
  }
  return absl::OkStatus();
}

LivenessVerdict CheckLiveness(const LivenessPolicy& policy, const LivenessView& view, absl::Duration now) {
  LivenessVerdict verdict;
  const auto require = [&](Missed what, absl::Duration by) {
    if (verdict.missed != Missed::kNone) return;
    if (now >= by) {
      verdict = {what, absl::InfiniteDuration()};
    } else {
      verdict.check_at = std::min(verdict.check_at, by);
    }
  };
  const bool starting = view.awaits_ready && !view.ready_at.has_value();
  if (starting) {
    require(Missed::kStart, view.started_at + policy.start_deadline);
  } else {
    const absl::Duration began = view.ready_at.value_or(view.started_at);
    const absl::Duration last = std::max(view.last_heartbeat.value_or(began), began);
    require(Missed::kHeartbeat, last + policy.heartbeat_deadline);
  }
  // Without a task the next one cannot be late before a whole deadline has passed.
  require(Missed::kTask, view.task_began.value_or(now) + policy.task_deadline);
  return verdict;
}

std::string_view MissedName(Missed missed) {
  switch (missed) {
    case Missed::kStart:
      return "start deadline";
    case Missed::kHeartbeat:
      return "heartbeat deadline";
    case Missed::kTask:
      return "task deadline";
    case Missed::kNone:
      break;
  }
  return "no deadline";
}

}  // namespace ko
