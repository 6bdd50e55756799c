#ifndef KO_MANAGER_COMMAND_OUTPUT_H_
#define KO_MANAGER_COMMAND_OUTPUT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/process/child.h"
#include "ko/process/output_drain.h"
#include "ko/process/output_tail.h"

namespace ko {

// What an attempt of a managed command prints, where that is collected.
class CommandOutput {
 public:
  static constexpr int kStreams = 2;  // standard output and error
  static constexpr size_t kTailBytes = 16 << 10;
  static constexpr size_t kLastLines = 10;

  // Takes the pipes that the child has.
  static absl::StatusOr<CommandOutput> Of(Child& child);

  // The descriptor to watch for a stream's output; -1 where none is collected, or no more.
  int fd(int stream) const { return drains_[stream].has_value() ? drains_[stream]->fd() : -1; }
  // Takes what there is; false where no more will come.
  bool Drain(int stream);
  // No longer collects it. The descriptor is closed.
  void Close(int stream) { drains_[stream].reset(); }

  std::vector<std::string> LastLines() const { return tail_.LastLines(kLastLines); }

 private:
  OutputTail tail_{kTailBytes};
  std::optional<OutputDrain> drains_[kStreams];
};

}  // namespace ko

#endif  // KO_MANAGER_COMMAND_OUTPUT_H_
