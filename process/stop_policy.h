#ifndef KO_PROCESS_STOP_POLICY_H_
#define KO_PROCESS_STOP_POLICY_H_

#include <csignal>

#include "absl/time/time.h"

namespace ko {

// How a process is asked to stop: `signal`, then `grace` to obey it, then SIGKILL. The default grace is that
// of the field's container runtimes (docker stop, 10 s): long enough to finish a request, short enough for a
// deployment.
struct StopPolicy {
  int signal = SIGTERM;
  absl::Duration grace = absl::Seconds(10);
};

}  // namespace ko

#endif  // KO_PROCESS_STOP_POLICY_H_
