#ifndef KO_TESTING_GATE_H_
#define KO_TESTING_GATE_H_

#include "ko/os/unique_fd.h"

namespace ko::testing {

// Lets processes that were forked after it was made wait for each other: Pass sleeps until somebody has
// called Open, once for each Pass. The order of two processes' steps is then certain, without a sleep.
//
// Threads: any. Fork: all processes share it. Signals: EINTR is retried. Crash: a gate whose other holders
// have all died lets Pass return false. Errors: a machine without fds ends the process.
class Gate {
 public:
  Gate();

  void Open();
  // False when nobody is left who could open it; for that the processes that only wait call CloseOpener.
  bool Pass();
  void CloseOpener() { opener_.reset(); }

 private:
  os::UniqueFd waiter_;
  os::UniqueFd opener_;
};

}  // namespace ko::testing

#endif  // KO_TESTING_GATE_H_
