#include "ko/os/thread_records.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"
#include "ko/os/process_mark.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

// The records lie at the same place of each thread's control block, which pthread_self names: asked for once, and 0 before.
constinit std::atomic<ptrdiff_t> id_offset = 0;
constinit std::atomic<ptrdiff_t> robust_list_offset = 0;

char* ControlBlock() { return reinterpret_cast<char*>(::pthread_self()); }

// By what glibc tells debuggers (libthread_db): the field's bits, how many there are of it, and where it is.
std::optional<ptrdiff_t> OffsetForDebuggers() {
  const auto* const field = static_cast<const uint32_t*>(::dlsym(RTLD_DEFAULT, "_thread_db_pthread_tid"));
  if (field == nullptr || field[0] != 8 * sizeof(int) || field[1] != 1) return std::nullopt;
  return static_cast<ptrdiff_t>(field[2]);
}

// By what the kernel clears at the thread's end, where that is the id, as it is in all processes that were forked.
std::optional<ptrdiff_t> OffsetOfClearedWord() {
  int* id = nullptr;
  if (::prctl(PR_GET_TID_ADDRESS, &id) != 0 || id == nullptr) return std::nullopt;
  return reinterpret_cast<char*>(id) - ControlBlock();
}

bool IsId(std::optional<ptrdiff_t> offset) {
  int id = 0;
  if (offset.has_value()) std::memcpy(&id, ControlBlock() + *offset, sizeof id);
  return id == ::gettid();
}

absl::Status FindOffsets() {
  std::optional<ptrdiff_t> id = OffsetForDebuggers();
  if (!IsId(id)) id = OffsetOfClearedWord();
  if (!IsId(id)) {
    return absl::UnimplementedError("the C library keeps its threads' ids at an unknown place");
  }
  robust_list_head* robust_list = nullptr;
  size_t length = 0;
  if (::syscall(SYS_get_robust_list, 0, &robust_list, &length) != 0) {
    return ErrnoStatus(errno, "get_robust_list");
  }
  if (robust_list != nullptr) {
    robust_list_offset.store(reinterpret_cast<char*>(robust_list) - ControlBlock(),
                             std::memory_order_relaxed);
  }
  // Release: pairs with Find's load, for the other offset.
  id_offset.store(*id, std::memory_order_release);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ThreadRecords> ThreadRecords::Find() {
  if (id_offset.load(std::memory_order_acquire) == 0) {  // pairs with FindOffsets
    if (absl::Status found = FindOffsets(); !found.ok()) return found;
  }
  ThreadRecords records;
  records.id_ = reinterpret_cast<int*>(ControlBlock() + id_offset.load(std::memory_order_relaxed));
  const ptrdiff_t robust_list = robust_list_offset.load(std::memory_order_relaxed);
  if (robust_list != 0) {
    records.robust_list_ = reinterpret_cast<robust_list_head*>(ControlBlock() + robust_list);
  }
  return records;
}

KO_CHILD_CODE std::variant<ForkedProcess, StartFailure> ThreadRecords::Clone(clone_args arguments) const {
  int on_the_stack = -1;
  int* const uncopied = WordThatNoForkCopies();
  int& pidfd = uncopied != nullptr ? *uncopied : on_the_stack;
  arguments.flags |= CLONE_PIDFD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  arguments.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  arguments.child_tid = reinterpret_cast<uintptr_t>(id_);
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return StartFailure{"clone3", errno};
  if (pid > 0) return ForkedProcess{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  RenewRobustList();
  return ForkedProcess{0, UniqueFd()};
}

KO_CHILD_CODE void ThreadRecords::RenewRobustList() const {
  if (robust_list_ == nullptr) return;
  robust_list_->list.next = &robust_list_->list;
  robust_list_->list_op_pending = nullptr;
  ::syscall(SYS_set_robust_list, robust_list_, sizeof *robust_list_);
}

}  // namespace ko::os
