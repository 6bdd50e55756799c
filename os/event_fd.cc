#include "ko/os/event_fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "ko/os/errno_status.h"

namespace ko::os {

absl::StatusOr<EventFd> EventFd::Create() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "eventfd");
  return EventFd(fd);
}

void EventFd::Notify() const {
  const uint64_t one = 1;
  // It can fail for a counter that is full only, and then the bell rings already.
  RetryEintr([&] { return ::write(fd_.get(), &one, sizeof one); });
}

bool EventFd::Drain() const {
  uint64_t count = 0;
  return RetryEintr([&] { return ::read(fd_.get(), &count, sizeof count); }) == sizeof count;
}

}  // namespace ko::os
