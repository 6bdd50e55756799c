#ifndef KO_OS_POLL_WAIT_H_
#define KO_OS_POLL_WAIT_H_

#include "absl/status/statusor.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"

namespace ko::os {

enum class PollEvent { kReadable, kWritable };

// Sleeps until the descriptor is ready, in error or hung up, which is true, or the deadline is over: false. Where `fd`
// is -1 there is only the deadline. Errors: Cancelled when `interrupt` has fired; a signal whose handler fires it just
// before the sleep is not slept through, but another thread that fires it does not end the sleep. Other signals do not
// end it. Threads: any. Fork, crash: none.
absl::StatusOr<bool> PollWait(int fd, PollEvent event, const Deadline& deadline, Interrupt interrupt = {});

}  // namespace ko::os

#endif  // KO_OS_POLL_WAIT_H_
