#ifndef KO_DEMOS_WORKERS_SETTINGS_H_
#define KO_DEMOS_WORKERS_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ko::demos {

// The demo's flags as they were given.
struct WorkersFlags {
  std::string path = "/usr/include";
  int workers = 1;
  std::string job = "count";
  std::string queue = "shm:";
  std::string role = "both";
  absl::Duration exit_when_idle = absl::InfiniteDuration();
  std::string out;
  int crash_percent = 0;
  absl::Duration grace = absl::Seconds(10);
};

// What they mean, checked.
struct WorkersSettings {
  static constexpr int kMaxWorkers = 10'000;
  // What this run does of the work on a queue that may have others, on other machines.
  enum class Role { kBoth, kPublish, kWork };

  int workers;
  std::vector<std::string> command;  // of exec:COMMAND; empty for count
  int crash_percent;
  absl::Duration grace;  // for a running job after SIGTERM
  Role role;
  std::string broker;             // the queue's URL, with its password; empty for shared memory
  absl::Duration exit_when_idle;  // a worker leaves when no job has come for so long

  // InvalidArgument, naming the flag and never the queue's password.
  static absl::StatusOr<WorkersSettings> FromFlags(const WorkersFlags& flags);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_SETTINGS_H_
