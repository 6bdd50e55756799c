#ifndef KO_PROCESS_TEST_END_H_
#define KO_PROCESS_TEST_END_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/process/child.h"
#include "ko/process/exit_status.h"

namespace ko {

// For tests: all that can have gone wrong with a process, as one status; OK where it exited with 0.
inline absl::Status EndOf(const absl::StatusOr<ExitStatus>& end) {
  return end.ok() ? end->ToStatus() : end.status();
}

// The same of one that is to be waited for.
inline absl::Status EndOf(absl::StatusOr<Child> child) {
  return child.ok() ? EndOf(child->Wait()) : child.status();
}

}  // namespace ko

#endif  // KO_PROCESS_TEST_END_H_
