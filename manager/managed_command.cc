#include "ko/manager/managed_command.h"

#include <unistd.h>

#include "absl/algorithm/container.h"
#include "ko/process/exec.h"

namespace ko {

absl::Status ManagedCommand::Validate() const {
  if (!command_.stdin_from.is_pipe()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "ProcessManager: a managed command's standard input cannot be a pipe: nobody could write into it");
}

std::variant<Child, ExitStatus> ManagedCommand::Start(const StartOptions& options) const {
  Command command = command_;
  command.die_with_parent = true;
  // Ctrl-C is the manager's to pass on, in its order.
  if (options.target == StopTarget::kTree) {
    command.new_session = true;
  } else if (!command.new_session) {
    command.new_process_group = true;
  }
  const auto has_own = [](const auto& limit) { return limit.first == RLIMIT_NOFILE; };
  if (options.open_files.has_value() && absl::c_none_of(command.limits, has_own)) {
    command.limits.emplace_back(RLIMIT_NOFILE, *options.open_files);
  }
  if (!options.environment.empty()) {
    if (!command.env.has_value()) {
      command.env.emplace();
      for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
        command.env->emplace_back(*variable);
      }
    }
    for (const std::string& variable : options.environment) command.env->push_back(variable);
  }
  return TryExec(command);
}

}  // namespace ko
