#ifndef KO_OS_SIBLING_H_
#define KO_OS_SIBLING_H_

#include <sys/types.h>

#include <atomic>
#include <variant>

#include "absl/status/statusor.h"
#include "ko/os/fork.h"
#include "ko/os/start_failure.h"

struct robust_list_head;

namespace ko::os {

// Forks processes that are children of this process's parent (CLONE_PARENT), which the C library's fork cannot do.
//
// The child's thread id and robust list are set up as the C library's fork does it, so that abort, raise, locks, threads
// and further forks work in it. No signal handler of this process is left in it, and pthread_atfork handlers do not run.
//
// Threads: none but the caller's, whose locks would stay locked in the child. Fork: usable in forked children. Signals: to
// be blocked by the caller. Crash: see `told`. Errors: Unimplemented where the kernel does not tell where a thread's id is
// kept (it is built without CONFIG_CHECKPOINT_RESTORE).
class SiblingForker {
 public:
  static absl::StatusOr<SiblingForker> Create();

  // As ForkWithPidfd. The kernel writes the child's pid to `told` before the child runs: a process that shares this memory
  // knows of the child also where this one is killed in the next instruction. The page is to be one that has been written
  // to before.
  std::variant<ForkedProcess, StartFailure> Fork(std::atomic<pid_t>& told) const;

 private:
  int* thread_id_ = nullptr;  // the C library's record of it
  robust_list_head* robust_list_ = nullptr;
};

}  // namespace ko::os

#endif  // KO_OS_SIBLING_H_
