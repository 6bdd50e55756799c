#ifndef KO_OS_ABOVE_STDIO_H_
#define KO_OS_ABOVE_STDIO_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// In a process that has closed its standard streams the kernel gives their numbers to whatever is opened
// next, which then gets what the program prints, and is lost when a stream is put back. These give it a
// number of 3 or more. Close-on-exec. Threads: any. Errors: as fcntl(2) lists them, with the descriptor.

// Replaces `fd` where it is in the place of a stream.
absl::Status MoveAboveStdio(UniqueFd& fd);

// A second descriptor of what `fd` is open on.
absl::StatusOr<UniqueFd> CopyAboveStdio(int fd);

}  // namespace ko::os

#endif  // KO_OS_ABOVE_STDIO_H_
