#ifndef KO_MANAGER_EXIT_EVENT_H_
#define KO_MANAGER_EXIT_EVENT_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ko/process/child.h"
#include "ko/process/exit_status.h"

namespace ko {

// All that is known about the end of one attempt of a managed process. A value.
struct ExitEvent {
  ExitStatus status;  // code, signal, core; why it did not start; its message has the last lines, too
  int attempt = 0;    // 1 for the first
  pid_t pid = 0;      // 0 where it did not start
  absl::Duration run_time = absl::ZeroDuration();
  ResourceUsage usage = {};
  // Why the manager ended it: "stopped", "missed its heartbeat deadline"; empty where it did not.
  std::string reason = {};
  // Of a command whose output the manager collects (Stdio::Pipe()), at most 10.
  std::vector<std::string> last_lines = {};
  // The kernel killed it because its cgroup ran out of memory. False also where the kernel does not let this
  // process know (no memory controller, or not readable); where other processes share the cgroup it tells how
  // many were killed, not which, so one that somebody else killed at the same moment may be taken for it.
  bool oom_killed = false;
};

}  // namespace ko

#endif  // KO_MANAGER_EXIT_EVENT_H_
