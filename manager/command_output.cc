#include "ko/manager/command_output.h"

#include <utility>

#include "ko/os/unique_fd.h"

namespace ko {

absl::StatusOr<CommandOutput> CommandOutput::Of(Child& child) {
  CommandOutput output;
  os::UniqueFd pipes[kStreams] = {child.TakeStdout(), child.TakeStderr()};
  for (int stream = 0; stream < kStreams; ++stream) {
    if (!pipes[stream].valid()) continue;
    absl::StatusOr<OutputDrain> drain = OutputDrain::Create(std::move(pipes[stream]));
    if (!drain.ok()) return drain.status();
    output.drains_[stream] = *std::move(drain);
  }
  return output;
}

bool CommandOutput::Drain(int stream) {
  if (!drains_[stream].has_value()) return false;
  const absl::StatusOr<OutputDrain::State> state = drains_[stream]->Drain(tail_);
  return state.ok() && *state != OutputDrain::State::kEnded;
}

}  // namespace ko
