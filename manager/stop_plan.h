#ifndef KO_MANAGER_STOP_PLAN_H_
#define KO_MANAGER_STOP_PLAN_H_

#include <csignal>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/process/stop_policy.h"

namespace ko {

// A signal, and how long it has to work before the next step.
struct StopStep {
  int signal = SIGTERM;
  absl::Duration wait = absl::Seconds(10);
};

// Who gets the signals of a stop.
enum class StopTarget {
  kProcess,  // the process alone: it knows best how to end what it has started
  kGroup,    // its process group, which it is made the leader of
  // All that it has started, and theirs: it is made the leader of a session; where the program may make control groups
  // (a writable cgroup v2) it also has one of its own.
  kTree,
};

// How a process is stopped: one step after another, then SIGKILL, whatever the steps are, so that every stop ends.
//
//   ko::StopPlan plan{.steps = {{SIGQUIT, absl::Seconds(30)}, {SIGTERM, absl::Seconds(5)}}};
//
// With kGroup and kTree, what is left of the group or tree when the process itself has ended gets SIGKILL then, however it
// ended.
struct StopPlan {
  // Default: as StopPolicy's. None: SIGKILL at once.
  std::vector<StopStep> steps = {StopStep()};
  StopTarget target = StopTarget::kProcess;

  static StopPlan From(const StopPolicy& policy) { return {.steps = {{policy.signal, policy.grace}}}; }

  // InvalidArgument for a number that is no signal, and for a wait that is infinite.
  absl::Status Validate() const;
};

}  // namespace ko

#endif  // KO_MANAGER_STOP_PLAN_H_
