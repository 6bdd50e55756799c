#include "ko/os/poll_wait.h"

#include <poll.h>

#include <cerrno>

#include "ko/os/errno_status.h"
#include "ko/os/signal_mask.h"

namespace ko::os {

absl::StatusOr<bool> PollWait(int fd, PollEvent event, const Deadline& deadline, Interrupt interrupt) {
  pollfd poll_fd = {fd, static_cast<short>(event == PollEvent::kReadable ? POLLIN : POLLOUT), 0};
  for (;;) {
    int ready;
    int error;
    {
      // Between the look at the interrupt and the sleep no handler may run; ppoll lets them in again.
      const ScopedAllSignalsBlocked blocked;
      if (interrupt.fired()) return absl::CancelledError("interrupted");
      timespec storage;
      ready = ::ppoll(&poll_fd, 1, deadline.RemainingTimespec(storage), &blocked.previous());
      error = errno;
    }
    if (ready > 0) return true;
    if (ready == 0 && deadline.expired()) return false;
    if (ready < 0 && error != EINTR) return ErrnoStatus(error, "ppoll");
  }
}

}  // namespace ko::os
