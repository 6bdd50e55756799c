#ifndef KO_MANAGER_TEST_TRACE_H_
#define KO_MANAGER_TEST_TRACE_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace ko {

// A system call that is about to be made.
struct TracedCall {
  uint64_t number;
  uint64_t arguments[6];
};

// Runs `run` in a forked child, and `on_call` in the test at each of the system calls that the child itself makes, which
// waits meanwhile (ptrace(2)). True where `run` came to its end without a failed expectation. `run` begins to be watched
// when it calls BeginTrace.
bool Trace(absl::FunctionRef<void()> run, absl::FunctionRef<void(pid_t, const TracedCall&)> on_call);
void BeginTrace();

}  // namespace ko

#endif  // KO_MANAGER_TEST_TRACE_H_
