#ifndef KO_TESTING_FAULT_SWEEP_H_
#define KO_TESTING_FAULT_SWEEP_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace ko::testing {

// What has become of the faults of a sweep.
struct FaultCount {
  int injected = 0;  // those that a system call was met by
  int told = 0;      // the operation failed, and its status says so
  int overcome = 0;  // it did its work all the same
};

// One round of a sweep, in a process of its own.
class FaultRound {
 public:
  struct Control;  // not for the tests

  // Does the operation, which the round's fault meets. Fails the test where the status of a failure does not hold the
  // name of the errno (of a fault in another process it need only say that something failed), where a descriptor,
  // process, shared mapping, signal mask or handler is left that was not there before, or where the operation does not
  // succeed when it is done again. What the operation makes it has to destroy as well. Once in a round.
  void Try(absl::FunctionRef<absl::Status()> operation);

 private:
  friend class FaultSweep;
  explicit FaultRound(Control& control) : control_(control) {}

  Control& control_;
  std::string outcome_;
};

// Lets each system call of an operation fail in turn with each errno that it can fail with (syscall_errors.h), in this
// process and in those that it forks meanwhile: `round` runs in a child of the test, first to see which calls are made,
// then once for each fault. It prepares what the operation needs, calls Try, and may look at what is left.
//
// The kernel's own system calls fail: a seccomp filter hands them to a process of the test (seccomp_unotify(2)), which
// lets all but one go on. The calls of a program that the operation executes do not count. The test has no other threads,
// and no children; orphans of the operation become its own, and have to end. Prints a line with the figures.
FaultCount SweepFaults(const std::string& name, absl::FunctionRef<void(FaultRound&)> round);

}  // namespace ko::testing

#endif  // KO_TESTING_FAULT_SWEEP_H_
