#ifndef KO_OS_TIMER_FD_H_
#define KO_OS_TIMER_FD_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// A timerfd(2) on the monotonic clock: readable from the time that was set until another is. Threads: any.
// Fork: both processes share the timer. Signals: none. Crash: none.
class TimerFd {
 public:
  static absl::StatusOr<TimerFd> Create();

  int fd() const { return fd_.get(); }
  // `at` on the clock of MonotonicNow(); infinite: never.
  void Set(absl::Duration at);

 private:
  explicit TimerFd(int fd) : fd_(fd) {}
  UniqueFd fd_;
  absl::Duration at_ = absl::InfiniteDuration();
};

}  // namespace ko::os

#endif  // KO_OS_TIMER_FD_H_
