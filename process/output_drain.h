#ifndef KO_PROCESS_OUTPUT_DRAIN_H_
#define KO_PROCESS_OUTPUT_DRAIN_H_

#include <utility>

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"
#include "ko/process/output_tail.h"

namespace ko {

// Reads what a command prints into an OutputTail, without ever blocking: a command whose pipe nobody empties
// stands still. For a loop of one's own: watch fd(), call Drain when it is readable.
//
//   absl::StatusOr<ko::OutputDrain> drain = ko::OutputDrain::Create(child->TakeStdout());
//   ko::OutputTail tail(64 << 10);
//
// Threads: one at a time. Fork: a child's copy takes output away from this one; not to be used there. Signals:
// EINTR is retried. Crash: none. Errors: what read(2) lists; FailedPrecondition for a moved-from one.
class OutputDrain {
 public:
  // Takes the reading end of a pipe, and makes it non-blocking.
  static absl::StatusOr<OutputDrain> Create(os::UniqueFd fd);

  enum class State {
    kEmptied,  // for now
    kMore,     // a round's share was read: call again, after what else there is to do
    kEnded,    // no writer is left, and nothing will come; fd() stays readable and open
  };
  // A round reads up to 256 KiB, so that one that prints without pause does not keep its loop from the rest.
  absl::StatusOr<State> Drain(OutputTail& tail);

  int fd() const { return fd_.get(); }

 private:
  explicit OutputDrain(os::UniqueFd fd) : fd_(std::move(fd)) {}

  os::UniqueFd fd_;
};

}  // namespace ko

#endif  // KO_PROCESS_OUTPUT_DRAIN_H_
