#ifndef KO_OS_SIBLING_H_
#define KO_OS_SIBLING_H_

#include <sys/types.h>

#include <atomic>
#include <variant>

#include "absl/status/statusor.h"
#include "ko/os/forked_process.h"
#include "ko/os/start_failure.h"
#include "ko/os/thread_records.h"

namespace ko::os {

// Forks processes that are children of this process's parent (CLONE_PARENT), which the C library's fork cannot do.
//
// The child's thread id and robust list are set up as the C library's fork does it, so that abort, raise, locks, threads
// and further forks work in it. No signal handler of this process is left in it, and pthread_atfork handlers do not run.
//
// Threads: none but the caller's, whose locks would stay locked in the child. Fork: usable in forked children. Signals: to
// be blocked by the caller. Crash: see `told`. Errors: as ThreadRecords.
class SiblingForker {
 public:
  SiblingForker() = default;  // of no use before it is assigned to
  static absl::StatusOr<SiblingForker> Create();

  // As ForkWithPidfd. The kernel writes the child's pid to `told` before the child runs: a process that shares this memory
  // knows of the child also where this one is killed in the next instruction. The page is to be one that has been written
  // to before.
  std::variant<ForkedProcess, StartFailure> Fork(std::atomic<pid_t>& told) const;

 private:
  explicit SiblingForker(const ThreadRecords& records) : records_(records) {}

  ThreadRecords records_;
};

}  // namespace ko::os

#endif  // KO_OS_SIBLING_H_
