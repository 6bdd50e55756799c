#ifndef KO_MANAGER_MANAGED_COMMAND_H_
#define KO_MANAGER_MANAGED_COMMAND_H_

#include <sys/resource.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ko/manager/stop_plan.h"
#include "ko/process/child.h"
#include "ko/process/command.h"
#include "ko/process/exit_status.h"

namespace ko {

// A command as a manager runs it, over all attempts.
class ManagedCommand {
 public:
  explicit ManagedCommand(Command command) : command_(std::move(command)) {}

  // InvalidArgument for what a manager cannot give a command: a pipe that it would have to write into.
  absl::Status Validate() const;

  struct StartOptions {
    std::optional<rlimit> open_files;      // its limit, unless the command has its own
    StopTarget target;                     // of its stops
    std::vector<std::string> environment;  // "NAME=value" in addition
  };
  // An attempt, which dies with this process and is out of the terminal's reach.
  std::variant<Child, ExitStatus> Start(const StartOptions& options) const;

 private:
  Command command_;
};

}  // namespace ko

#endif  // KO_MANAGER_MANAGED_COMMAND_H_
