#include "ko/os/robust_lock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/thread_id.h"

namespace ko::os {
namespace {

// Longer than the critical sections usually are, and a small part of what a sleep costs.
constexpr int kSpins = 100;

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Tells the kernel which lock to look at if the thread dies now. Bit 0: a priority-inheriting one.
void Announce(robust_list_head& head, RobustFutex& futex) {
  head.list_op_pending =
      reinterpret_cast<robust_list*>(reinterpret_cast<uintptr_t>(&futex) + kRobustNodeOffset + 1);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // before the lock is taken
}

void Retract(robust_list_head& head) {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // after the lock is free
  head.list_op_pending = nullptr;
}

// Acquire: pairs with the release of the previous holder's compare-exchange in ReleaseRobustLock.
bool TryAcquire(RobustFutex& futex, uint32_t thread_id, uint32_t& found) {
  found = 0;
  return futex.word.compare_exchange_strong(found, thread_id, std::memory_order_acquire,
                                            std::memory_order_relaxed);
}

bool SpinToAcquire(RobustFutex& futex, uint32_t thread_id) {
  uint32_t found;
  for (int i = 0; i < kSpins; ++i) {
    if (TryAcquire(futex, thread_id, found)) return true;
    // With sleepers or a dead holder it is the kernel that says who is next.
    if ((found & (FUTEX_WAITERS | FUTEX_OWNER_DIED)) != 0 || (found & FUTEX_TID_MASK) == thread_id)
      return false;
    Relax();
  }
  return false;
}

int LockInKernel(RobustFutex& futex) {
  const long result =
      RetryEintr([&] { return ::syscall(SYS_futex, &futex.word, FUTEX_LOCK_PI, 0, nullptr, nullptr, 0); });
  return result == 0 ? 0 : errno;
}

}  // namespace

absl::StatusOr<RobustLockState> AcquireRobustLock(RobustFutex& futex) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  const auto thread_id = static_cast<uint32_t>(ThreadId());
  Announce(*head, futex);
  if (SpinToAcquire(futex, thread_id)) return RobustLockState::kClean;
  int error_number;
  while ((error_number = LockInKernel(futex)) == EAGAIN) {
    // The holder is on its way out.
  }
  if (error_number != 0) {
    Retract(*head);
    return absl::DataLossError(
        absl::StrCat("the lock's word names no thread that could hold it: ", ErrnoText(error_number)));
  }
  // Acquire: pairs with the release of the previous holder in ReleaseRobustLock; the kernel handed it over.
  if ((futex.word.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) == 0) return RobustLockState::kClean;
  futex.word.fetch_and(~static_cast<uint32_t>(FUTEX_OWNER_DIED), std::memory_order_relaxed);
  return RobustLockState::kHolderDied;
}

void ReleaseRobustLock(RobustFutex& futex) {
  robust_list_head* head;
  if (!GetRobustListHead(&head).ok()) return;  // cannot be: it was there when the lock was taken
  auto expected = static_cast<uint32_t>(ThreadId());
  // Release: pairs with the acquire in AcquireRobustLock, for everything done under the lock; with sleepers
  // likewise before the kernel hands the lock over.
  if (!futex.word.compare_exchange_strong(expected, 0, std::memory_order_release,
                                          std::memory_order_relaxed)) {
    futex.word.fetch_or(0, std::memory_order_release);
    ::syscall(SYS_futex, &futex.word, FUTEX_UNLOCK_PI, 0, nullptr, nullptr, 0);
  }
  Retract(*head);
}

}  // namespace ko::os
