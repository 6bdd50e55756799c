#ifndef KO_OS_THREAD_RECORDS_H_
#define KO_OS_THREAD_RECORDS_H_

#include <variant>

#include "absl/status/statusor.h"
#include "ko/os/forked_process.h"
#include "ko/os/start_failure.h"

struct clone_args;
struct robust_list_head;

namespace ko::os {

// Where the C library keeps what is the calling thread's alone: what its fork renews in the child, and who makes a process
// by a raw clone has to renew instead, so that abort, raise, locks, threads and further forks work in it.
//
// Threads: the calling one's. Fork: usable in forked children. Signals: async-signal-safe after the first Find. Crash: none.
// Errors: Unimplemented where neither the C library tells debuggers where it keeps a thread's id, nor the kernel.
class ThreadRecords {
 public:
  static absl::StatusOr<ThreadRecords> Find();

  // clone3(2) with these arguments, and with a pidfd in the parent and the thread's records set up in the child.
  std::variant<ForkedProcess, StartFailure> Clone(clone_args arguments) const;

 private:
  // In the child: what the parent's thread holds this one does not.
  void RenewRobustList() const;

  int* id_ = nullptr;
  robust_list_head* robust_list_ = nullptr;  // null without one
};

}  // namespace ko::os

#endif  // KO_OS_THREAD_RECORDS_H_
