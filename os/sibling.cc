#include "ko/os/sibling.h"

#include <linux/sched.h>

#include <cstdint>

#include "ko/os/child_code.h"

namespace ko::os {

static_assert(sizeof(std::atomic<pid_t>) == sizeof(pid_t), "the kernel writes to it");

absl::StatusOr<SiblingForker> SiblingForker::Create() {
  const absl::StatusOr<ThreadRecords> records = ThreadRecords::Find();
  if (!records.ok()) return records.status();
  return SiblingForker(*records);
}

KO_CHILD_CODE std::variant<ForkedProcess, StartFailure> SiblingForker::Fork(std::atomic<pid_t>& told) const {
  clone_args arguments = {};
  // The exit signal is this process's own: a child by CLONE_PARENT has no other.
  arguments.flags = CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND;
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&told);
  return records_.Clone(arguments);
}

}  // namespace ko::os
