#include "ko/os/robust_lock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/relax.h"
#include "ko/os/thread_id.h"

namespace ko::os {
namespace {

// Longer than the critical sections usually are, and a small part of what a sleep costs.
constexpr int kSpins = 100;

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

int LockInKernel(RobustFutex& futex, const Deadline& deadline) {
  timespec storage;
  const timespec* const at = deadline.AbsoluteTimespec(storage);
  // Where the time is over, only what is free or a dead one's. LOCK_PI2 takes the monotonic clock.
  const int operation = deadline.expired() ? FUTEX_TRYLOCK_PI : FUTEX_LOCK_PI2;
  const long result =
      RetryEintr([&] { return ::syscall(SYS_futex, &futex.word, operation, 0, at, nullptr, 0); });
  return result == 0 ? 0 : errno;
}

void Unlock(RobustFutex& futex, uint32_t thread_id) {
  uint32_t expected = thread_id;
  // Release: pairs with the acquire in AcquireRobustLock, for everything done under the lock; with sleepers
  // likewise before the kernel hands the lock over.
  if (!futex.word.compare_exchange_strong(expected, 0, std::memory_order_release,
                                          std::memory_order_relaxed)) {
    futex.word.fetch_or(0, std::memory_order_release);
    ::syscall(SYS_futex, &futex.word, FUTEX_UNLOCK_PI, 0, nullptr, nullptr, 0);
  }
}

}  // namespace

absl::StatusOr<RobustLockState> AcquireRobustLock(RobustFutex& futex, const Deadline& deadline) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  const auto thread_id = static_cast<uint32_t>(ThreadId());
  AnnounceRobust(*head, futex, RobustKind::kPriorityInheriting);
  if (SpinToAcquire(futex, thread_id)) return RobustLockState::kClean;
  int error_number;
  // EAGAIN: another thread has it; without the deadline in sight, one that is on its way out.
  while ((error_number = LockInKernel(futex, deadline)) == EAGAIN && !deadline.expired()) {
  }
  if (error_number != 0) {
    RetractRobust(*head);
    if (error_number == ETIMEDOUT || error_number == EAGAIN) {
      return absl::DeadlineExceededError("the lock is still held by another thread");
    }
    return absl::DataLossError(
        absl::StrCat("the lock's word names no thread that could hold it: ", ErrnoText(error_number)));
  }
  // Acquire: pairs with the release of the previous holder in ReleaseRobustLock; the kernel handed it over.
  if ((futex.word.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) == 0) return RobustLockState::kClean;
  futex.word.fetch_and(~static_cast<uint32_t>(FUTEX_OWNER_DIED), std::memory_order_relaxed);
  return RobustLockState::kHolderDied;
}

bool TryAcquireFreeRobustLock(RobustFutex& futex) {
  const RobustThread* const thread = FindRobustThread();
  if (thread == nullptr) return false;
  AnnounceRobust(*thread->head, futex, RobustKind::kPriorityInheriting);
  uint32_t found;
  if (TryAcquire(futex, thread->id, found)) return true;
  RetractRobust(*thread->head);
  return false;
}

void ReleaseRobustLock(RobustFutex& futex) {
  const RobustThread* const thread = FindRobustThread();
  if (thread == nullptr) return;  // cannot be: it was there when the lock was taken
  Unlock(futex, thread->id);
  RetractRobust(*thread->head);
}

bool HoldsRobustLock(const RobustFutex& futex) {
  // Relaxed: only the calling thread itself writes its own id there, and takes it away.
  const RobustThread* const thread = FindRobustThread();
  return thread != nullptr && (futex.word.load(std::memory_order_relaxed) & FUTEX_TID_MASK) == thread->id;
}

absl::Status KeepRobustLock(RobustFutex& futex) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  if (!LinkRobustFutex(*FindRobustThread(), futex, RobustKind::kPriorityInheriting)) {
    return absl::InternalError("the thread's robust list has no end");
  }
  RetractRobust(*head);
  return absl::OkStatus();
}

void ReleaseKeptRobustLock(RobustFutex& futex) {
  RobustThread* const thread = FindRobustThread();
  if (thread == nullptr) return;
  AnnounceRobust(*thread->head, futex, RobustKind::kPriorityInheriting);
  UnlinkRobustFutex(*thread, futex);
  Unlock(futex, thread->id);
  RetractRobust(*thread->head);
}

}  // namespace ko::os
