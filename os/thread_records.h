#ifndef KO_OS_THREAD_RECORDS_H_
#define KO_OS_THREAD_RECORDS_H_

#include "absl/status/statusor.h"

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

  // For clone(2)'s CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID.
  int* id() const { return id_; }

  // In the child: what the parent's thread holds this one does not.
  void RenewRobustList() const;

 private:
  int* id_ = nullptr;
  robust_list_head* robust_list_ = nullptr;  // null without one
};

}  // namespace ko::os

#endif  // KO_OS_THREAD_RECORDS_H_
