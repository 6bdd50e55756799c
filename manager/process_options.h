#ifndef KO_MANAGER_PROCESS_OPTIONS_H_
#define KO_MANAGER_PROCESS_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "ko/manager/liveness.h"
#include "ko/manager/recycle_policy.h"
#include "ko/manager/stop_plan.h"

namespace ko {

// When a process counts as ready, for those that wait for it: its followers in a Group, a rolling restart.
enum class ReadyWhen {
  kStarted,   // as soon as it runs
  kNotified,  // when it says so: Self::NotifyReady, or, of a command, READY=1 by sd_notify(3)
};

// What a ProcessManager is to know of a process beside when to restart it. Every field has a default that asks for nothing.
struct ProcessOptions {
  // For events and messages; "process 3" where empty.
  std::string name = {};
  ReadyWhen ready = ReadyWhen::kStarted;
  // Of its own; else the manager's (SetStopPolicy).
  std::optional<StopPlan> stop = std::nullopt;
  LivenessPolicy liveness = {};
  // Of spawned ones: a process that is to run once is not replaced.
  RecyclePolicy recycle = {};
  // In a Group: see GroupOptions::end_when.
  bool significant = false;

  // InvalidArgument, naming the field: what the parts refuse, and a start deadline without kNotified.
  absl::Status Validate() const;
};

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_OPTIONS_H_
