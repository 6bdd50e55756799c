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
  std::string out;
  int crash_percent = 0;
  absl::Duration grace = absl::Seconds(10);
};

// What they mean, checked.
struct WorkersSettings {
  static constexpr int kMaxWorkers = 10'000;

  int workers;
  std::vector<std::string> command;  // of exec:COMMAND; empty for count
  int crash_percent;
  absl::Duration grace;  // for a running job after SIGTERM

  // InvalidArgument, naming the flag.
  static absl::StatusOr<WorkersSettings> FromFlags(const WorkersFlags& flags);
};

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_SETTINGS_H_
