#ifndef KO_OS_OPEN_BENEATH_H_
#define KO_OS_OPEN_BENEATH_H_

#include <string>

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// Opens `path` for reading where it is inside of the folder `directory_fd`: neither "..", nor an absolute path, nor a symbolic
// link leads out of it (openat2(2), RESOLVE_BENEATH). Does not wait for the writer of a FIFO.
//
// Threads: any. Fork: as a descriptor. Signals: none. Crash: none.
// Errors: FailedPrecondition (EXDEV) for a way out; what openat2(2) lists.
absl::StatusOr<UniqueFd> OpenBeneath(int directory_fd, const std::string& path);

}  // namespace ko::os

#endif  // KO_OS_OPEN_BENEATH_H_
