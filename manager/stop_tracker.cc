#include "ko/manager/stop_tracker.h"

#include <algorithm>
#include <csignal>

namespace ko {

StopTracker::Action StopTracker::Begin(const StopPlan& plan, absl::Duration now) {
  absl::Duration kill_at = now;
  for (const StopStep& step : plan.steps) kill_at += std::max(step.wait, absl::ZeroDuration());
  kill_at_ = active_ ? std::min(kill_at_, kill_at) : kill_at;
  active_ = true;
  steps_ = plan.steps;
  next_ = 0;
  return Next(now);
}

StopTracker::Action StopTracker::Next(absl::Duration now) {
  // A step that has no time to work is none.
  while (next_ < steps_.size() && steps_[next_].wait <= absl::ZeroDuration()) ++next_;
  if (next_ == steps_.size() || now >= kill_at_) {
    kill_at_ = now;
    next_ = steps_.size();
    return {SIGKILL, absl::InfiniteDuration()};
  }
  const StopStep& step = steps_[next_++];
  return {step.signal, std::min(now + step.wait, kill_at_)};
}

}  // namespace ko
