#include "ko/os/sibling.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace ko::os {

static_assert(sizeof(std::atomic<pid_t>) == sizeof(pid_t), "the kernel writes to it");

absl::StatusOr<SiblingForker> SiblingForker::Create() {
  const absl::StatusOr<ThreadRecords> records = ThreadRecords::Find();
  if (!records.ok()) return records.status();
  return SiblingForker(*records);
}

std::variant<ForkedProcess, StartFailure> SiblingForker::Fork(std::atomic<pid_t>& told) const {
  int pidfd = -1;
  clone_args arguments = {};
  // The exit signal is this process's own: a child by CLONE_PARENT has no other.
  arguments.flags = CLONE_PARENT | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
                    CLONE_CHILD_CLEARTID | CLONE_CLEAR_SIGHAND;
  arguments.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&told);
  arguments.child_tid = reinterpret_cast<uintptr_t>(records_.id());
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return StartFailure{"clone3", errno};
  if (pid > 0) return ForkedProcess{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  records_.RenewRobustList();
  return ForkedProcess{0, UniqueFd()};
}

}  // namespace ko::os
