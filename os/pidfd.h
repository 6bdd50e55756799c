#ifndef KO_OS_PIDFD_H_
#define KO_OS_PIDFD_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "absl/status/statusor.h"
#include "ko/os/deadline.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// Process file descriptors: a process named by one cannot be mistaken for a later one with the same pid.
// All of them: threads, any; close-on-exec; errors as pidfd_open(2), pidfd_send_signal(2) and waitid(2) list
// them.

// A pidfd for `pid`, a child of this process that has not been reaped (or, at the caller's risk, any
// process). An invalid one, and errno, where there is none to be had.
UniqueFd OpenPidfd(pid_t pid);

// Returns the errno, 0 where the signal was sent. Async-signal-safe.
int SendSignal(int pidfd, int signo);

// How a child ended.
struct ChildEnd {
  enum class Kind {
    kExited,    // `value` is the exit code
    kSignaled,  // `value` is the signal
    kUnknown,   // other code of this process took the status, and the kernel does not tell it twice
  };
  Kind kind;
  int value;
  bool core_dumped;
  rusage usage;
};

// Reaps the child if it has ended; an empty optional where it has not. Sleeps until it has where `block`. A
// child that other code reaped has ended all the same. Errors: FailedPrecondition for a process that is no
// child of this one (before Linux 6.13 a zombie of another process cannot be told from a child reaped
// elsewhere).
absl::StatusOr<std::optional<ChildEnd>> Reap(int pidfd, bool block);

// Whether the process has ended, whosever child it is.
bool HasEnded(int pidfd);

// Whether the process is a child of this one that has not been reaped. False for a descriptor of another kind.
bool IsOwnChild(int pidfd);

// Kills and reaps a child of which there is nothing but the pid. Does nothing where it is no child of this process (any
// more).
void EndChild(pid_t pid);

// Sleeps until the process has ended or the deadline is over; false in the latter case.
absl::StatusOr<bool> AwaitEnd(int pidfd, const Deadline& deadline);

}  // namespace ko::os

#endif  // KO_OS_PIDFD_H_
