#ifndef KO_MANAGER_MANAGED_COMMAND_H_
#define KO_MANAGER_MANAGED_COMMAND_H_

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "ko/process/child.h"
#include "ko/process/command.h"
#include "ko/process/exit_status.h"
#include "ko/process/output_drain.h"
#include "ko/process/output_tail.h"

namespace ko {

// A command as a manager runs it, over all attempts, with the output of the current one.
class ManagedCommand {
 public:
  static constexpr int kStreams = 2;  // standard output and error
  static constexpr size_t kTailBytes = 16 << 10;
  static constexpr size_t kLastLines = 10;

  explicit ManagedCommand(Command command);

  // InvalidArgument for what a manager cannot give a command: a pipe that it would have to write into.
  absl::Status Validate() const;

  // An attempt, which dies with this process and is out of the terminal's reach. `open_files`, where there is
  // one, becomes its limit unless the command has its own.
  std::variant<Child, ExitStatus> Start(const std::optional<rlimit>& open_files);

  // The descriptor to watch for a stream's output; -1 where none is collected, or no more.
  int fd(int stream) const { return drains_[stream].has_value() ? drains_[stream]->fd() : -1; }
  // Takes what there is; false where no more will come.
  bool Drain(int stream);
  // No longer collects it. The descriptor is closed.
  void Close(int stream) { drains_[stream].reset(); }

  // Of the current attempt, or the last.
  std::vector<std::string> LastLines() const { return tail_.LastLines(kLastLines); }

 private:
  Command command_;
  OutputTail tail_{kTailBytes};
  std::optional<OutputDrain> drains_[kStreams];
};

}  // namespace ko

#endif  // KO_MANAGER_MANAGED_COMMAND_H_
