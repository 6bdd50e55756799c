#include "ko/os/timer_fd.h"

#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>

#include "ko/os/errno_status.h"

namespace ko::os {

absl::StatusOr<TimerFd> TimerFd::Create() {
  const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "timerfd_create");
  return TimerFd(fd);
}

void TimerFd::Set(absl::Duration at) {
  if (at == at_) return;
  at_ = at;
  itimerspec setting = {};
  // All zeros would disarm it, so what is long over is a nanosecond past the clock's start.
  if (at != absl::InfiniteDuration()) setting.it_value = absl::ToTimespec(std::max(at, absl::Nanoseconds(1)));
  ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &setting, nullptr);
}

}  // namespace ko::os
