#ifndef KO_MANAGER_ROLL_OUT_H_
#define KO_MANAGER_ROLL_OUT_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ko {

struct RollOutOptions {
  // So long a new worker has to live after it is ready before the old one is asked to end: most of what fails at once fails
  // within a second. Zero: not at all.
  absl::Duration observe = absl::Seconds(1);
};

// The outcome of a rolling restart.
struct RollOut {
  absl::Status status;  // OK, or why it was not finished
  int replaced = 0;     // slots that have a new worker
  int slots =
      0;  // that there were when it began; those that a Resize takes away meanwhile are left as they are
};

}  // namespace ko

#endif  // KO_MANAGER_ROLL_OUT_H_
