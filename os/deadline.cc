#include "ko/os/deadline.h"

#include <algorithm>

namespace ko::os {

absl::Duration MonotonicNow() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

Deadline Deadline::After(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return Deadline(timeout);
  return Deadline(MonotonicNow() + std::max(timeout, absl::ZeroDuration()));
}

absl::Duration Deadline::remaining() const {
  if (infinite()) return at_;
  return std::max(at_ - MonotonicNow(), absl::ZeroDuration());
}

const timespec* Deadline::RemainingTimespec(timespec& storage) const {
  if (infinite()) return nullptr;
  storage = absl::ToTimespec(remaining());
  return &storage;
}

const timespec* Deadline::AbsoluteTimespec(timespec& storage) const {
  if (infinite()) return nullptr;
  storage = absl::ToTimespec(at_);
  return &storage;
}

}  // namespace ko::os
