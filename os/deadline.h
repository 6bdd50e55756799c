#ifndef KO_OS_DEADLINE_H_
#define KO_OS_DEADLINE_H_

#include <ctime>

#include "absl/time/time.h"

namespace ko::os {

// The monotonic clock, as the time since an arbitrary start that is the same in all processes of the machine.
// It does not jump when somebody sets the wall clock. Async-signal-safe.
absl::Duration MonotonicNow();

// A point on the monotonic clock by which something must have happened; infinite ones never come.
class Deadline {
 public:
  // `timeout` from now; zero and negative ones have come already.
  static Deadline After(absl::Duration timeout);
  static Deadline At(absl::Duration monotonic) { return Deadline(monotonic); }

  bool infinite() const { return at_ == absl::InfiniteDuration(); }
  bool expired() const { return !infinite() && MonotonicNow() >= at_; }
  absl::Duration at() const { return at_; }
  absl::Duration remaining() const;  // never negative

  // For poll(2) and its kin: relative, and null where infinite. `storage` must outlive the use.
  const timespec* RemainingTimespec(timespec& storage) const;
  // For FUTEX_WAIT_BITSET: absolute on CLOCK_MONOTONIC, and null where infinite.
  const timespec* AbsoluteTimespec(timespec& storage) const;

 private:
  explicit Deadline(absl::Duration at) : at_(at) {}
  absl::Duration at_;
};

}  // namespace ko::os

#endif  // KO_OS_DEADLINE_H_
