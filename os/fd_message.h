#ifndef KO_OS_FD_MESSAGE_H_
#define KO_OS_FD_MESSAGE_H_

#include <sys/types.h>

#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// Messages with descriptors between processes, over sequenced packets: each arrives whole or not at all.
// Threads: any. Signals: EINTR is retried, SIGPIPE is not raised.

inline constexpr size_t kMaxMessageFds = 253;  // SCM_MAX_FD

// Two connected sockets, numbered 3 or more. Errors: as socketpair(2).
absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MessageSocketPair();

// Sends `parts` as one message. Returns the errno, 0 where it was sent: EPIPE or ECONNRESET where nobody has the other
// end any more, EBADF for a bad descriptor, EAGAIN for a full socket where not `block`.
int SendMessage(int socket, absl::Span<const std::string_view> parts, absl::Span<const int> fds, bool block);

// A few need no memory, which a process that forks would have to copy each time.
using ReceivedFds = absl::InlinedVector<UniqueFd, 2>;

struct ReceivedMessage {
  ssize_t bytes = -1;        // 0: the other end is closed; -1: see error_number
  int error_number = 0;      // EAGAIN: there is none yet
  bool truncated = false;    // it was longer than the buffer
  bool fds_missing = false;  // this process has no room for all of the descriptors
  ReceivedFds fds;           // close-on-exec, numbered 3 or more
};

ReceivedMessage ReceiveMessage(int socket, void* buffer, size_t bytes, bool block);

// Whether the socket has something to say (a message, or its end), and whether the other descriptor is readable. Where
// neither is, sleeps until one is, at most for `timeout`; after a signal for that long again.
struct Readiness {
  bool socket = false;
  bool other = false;
};
Readiness AwaitReadable(int socket, int other, absl::Duration timeout);

}  // namespace ko::os

#endif  // KO_OS_FD_MESSAGE_H_
