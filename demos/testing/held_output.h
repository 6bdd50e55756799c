#ifndef KO_DEMOS_TESTING_HELD_OUTPUT_H_
#define KO_DEMOS_TESTING_HELD_OUTPUT_H_

#include <string>

#include "ko/ko.h"
#include "ko/os/unique_fd.h"

namespace ko::demos {

// A standard output that is full at first, so that a process which prints waits for Take: meanwhile it surely lives, and its
// title can be looked at.
class HeldOutput {
 public:
  HeldOutput();

  // For a command; this object keeps its own copy until Take.
  Stdio stdio() const { return Stdio::Fd(write_end_.get()); }

  // Lets everybody print. What they have printed, once all of them have closed it.
  std::string Take();

 private:
  os::UniqueFd read_end_;
  os::UniqueFd write_end_;
  size_t filler_bytes_ = 0;
};

}  // namespace ko::demos

#endif  // KO_DEMOS_TESTING_HELD_OUTPUT_H_
