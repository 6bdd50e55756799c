#include "ko/os/sibling.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "ko/os/errno_status.h"

namespace ko::os {

static_assert(sizeof(std::atomic<pid_t>) == sizeof(pid_t), "the kernel writes to it");

absl::StatusOr<SiblingForker> SiblingForker::Create() {
  SiblingForker forker;
  if (::prctl(PR_GET_TID_ADDRESS, &forker.thread_id_) != 0) {
    return absl::UnimplementedError(ErrnoStatus(errno, "prctl(PR_GET_TID_ADDRESS)").message());
  }
  if (forker.thread_id_ == nullptr || *forker.thread_id_ != ::gettid()) {
    return absl::UnimplementedError("the C library keeps its threads' ids at an unknown place");
  }
  size_t length = 0;
  if (::syscall(SYS_get_robust_list, 0, &forker.robust_list_, &length) != 0) {
    return ErrnoStatus(errno, "get_robust_list");
  }
  return forker;
}

std::variant<ForkedProcess, StartFailure> SiblingForker::Fork(std::atomic<pid_t>& told) const {
  int pidfd = -1;
  clone_args arguments = {};
  // The exit signal is this process's own: a child by CLONE_PARENT has no other.
  arguments.flags = CLONE_PARENT | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
                    CLONE_CHILD_CLEARTID | CLONE_CLEAR_SIGHAND;
  arguments.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&told);
  arguments.child_tid = reinterpret_cast<uintptr_t>(thread_id_);
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return StartFailure{"clone3", errno};
  if (pid > 0) return ForkedProcess{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  if (robust_list_ != nullptr) {
    // What this process holds its child does not.
    robust_list_->list.next = &robust_list_->list;
    robust_list_->list_op_pending = nullptr;
    ::syscall(SYS_set_robust_list, robust_list_, sizeof *robust_list_);
  }
  return ForkedProcess{0, UniqueFd()};
}

}  // namespace ko::os
