#include "ko/manager/managed_command.h"

#include <algorithm>
#include <cerrno>

#include "ko/os/unique_fd.h"
#include "ko/process/exec.h"

namespace ko {

ManagedCommand::ManagedCommand(Command command) : command_(std::move(command)) {
  command_.die_with_parent = true;
  command_.new_process_group = true;  // Ctrl-C is the manager's to pass on, in its order
}

absl::Status ManagedCommand::Validate() const {
  if (!command_.stdin_from.is_pipe()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "ProcessManager: a managed command's standard input cannot be a pipe: nobody could write into it");
}

std::variant<Child, ExitStatus> ManagedCommand::Start(const std::optional<rlimit>& open_files) {
  Command command = command_;
  const auto has_own = [](const auto& limit) { return limit.first == RLIMIT_NOFILE; };
  if (open_files.has_value() && std::none_of(command.limits.begin(), command.limits.end(), has_own)) {
    command.limits.emplace_back(RLIMIT_NOFILE, *open_files);
  }
  tail_.Clear();
  std::variant<Child, ExitStatus> started = TryExec(command);
  auto* child = std::get_if<Child>(&started);
  if (child == nullptr) return started;
  os::UniqueFd outputs[kStreams] = {child->TakeStdout(), child->TakeStderr()};
  for (int stream = 0; stream < kStreams; ++stream) {
    drains_[stream].reset();
    if (!outputs[stream].valid()) continue;
    absl::StatusOr<OutputDrain> drain = OutputDrain::Create(std::move(outputs[stream]));
    if (!drain.ok()) return ExitStatus::NotStarted(EIO, "exec").WithReason(drain.status());
    drains_[stream] = *std::move(drain);
  }
  return started;
}

bool ManagedCommand::Drain(int stream) {
  if (!drains_[stream].has_value()) return false;
  const absl::StatusOr<OutputDrain::State> state = drains_[stream]->Drain(tail_);
  return state.ok() && *state != OutputDrain::State::kEnded;
}

}  // namespace ko
