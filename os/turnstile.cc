#include "ko/os/turnstile.h"

#include <sched.h>

#include <cerrno>
#include <csignal>

#include "ko/os/futex.h"
#include "ko/os/relax.h"
#include "ko/os/thread_id.h"

namespace ko::os {
namespace {

constexpr uint32_t kWaiters = FUTEX_WAITERS;

// Somebody who was woken is about to come in, or there was nobody to wake: how often a newcomer looks before it finds out.
constexpr int kLooks = 64;

bool IsFree(uint32_t word) { return (word & FUTEX_TID_MASK) == 0; }

// Keeps the mark of sleepers. Acquire: pairs with the release in Free, and in the kernel's hand for a dead one.
bool TryTake(RobustFutex& futex, uint32_t& word, uint32_t thread_id) {
  return futex.word.compare_exchange_strong(word, thread_id | (word & kWaiters), std::memory_order_acquire,
                                            std::memory_order_relaxed);
}

// Release: pairs with the acquire in TryTake.
void Free(RobustFutex& futex) {
  uint32_t word = futex.word.load(std::memory_order_relaxed);
  while (!futex.word.compare_exchange_weak(word, word & kWaiters, std::memory_order_release,
                                           std::memory_order_relaxed)) {
  }
  if ((word & kWaiters) == 0 || FutexWake(futex.word, FutexScope::kShared, 1) != 0) return;
  word = kWaiters;  // nobody was there
  futex.word.compare_exchange_strong(word, 0, std::memory_order_relaxed);
}

// With sleepers, a free word is for the one that was woken. One that slept may take it at once.
absl::Status Take(RobustFutex& futex, uint32_t thread_id, const Deadline& deadline,
                  const Interrupt& interrupt) {
  bool was_woken = false;
  int looks = 0;
  uint32_t word = futex.word.load(std::memory_order_relaxed);
  for (;; word = futex.word.load(std::memory_order_relaxed)) {
    if (IsFree(word)) {
      if (was_woken || (word & kWaiters) == 0) {
        if (TryTake(futex, word, thread_id)) return absl::OkStatus();
        continue;
      }
      if (++looks < kLooks) {
        ::sched_yield();
        continue;
      }
      // Its death may have been the last thing that was to happen here.
      if (FutexWake(futex.word, FutexScope::kShared, 1) == 0) {
        if (TryTake(futex, word, thread_id)) return absl::OkStatus();
        continue;
      }
      looks = 0;
    }
    if (interrupt.fired()) return absl::CancelledError("interrupted while waiting for others");
    if (deadline.expired()) return absl::DeadlineExceededError("others were first, and still are");
    if (!IsFree(word)) {
      if ((word & kWaiters) == 0) {
        if (!futex.word.compare_exchange_strong(word, word | kWaiters, std::memory_order_relaxed)) continue;
        word |= kWaiters;
      }
      // Where the thread has ended meanwhile, the kernel has changed the word before.
      if (::kill(static_cast<pid_t>(word & FUTEX_TID_MASK), 0) == -1 && errno == ESRCH &&
          futex.word.load(std::memory_order_relaxed) == word) {
        return absl::DataLossError("the word of a lock names a thread that does not exist");
      }
    }
    FutexWaitList waits;
    waits.Add(futex.word, word, FutexScope::kShared);
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, FutexScope::kPrivate);
    was_woken = waits.Sleep(deadline) == 0;
  }
}

}  // namespace

absl::Status EnterTurnstile(RobustFutex& futex, const Deadline& deadline, Interrupt interrupt) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  AnnounceRobust(*head, futex, RobustKind::kPlain);
  absl::Status status = Take(futex, static_cast<uint32_t>(ThreadId()), deadline, interrupt);
  if (!status.ok()) {
    // A wake-up that came at the same moment is for another one.
    if (IsFree(futex.word.load(std::memory_order_relaxed))) FutexWake(futex.word, FutexScope::kShared, 1);
  } else if (!LinkRobustFutex(*FindRobustThread(), futex, RobustKind::kPlain)) {
    Free(futex);
    status = absl::InternalError("the thread's robust list has no end");
  }
  RetractRobust(*head);
  return status;
}

void LeaveTurnstile(RobustFutex& futex) {
  RobustThread* const thread = FindRobustThread();
  if (thread == nullptr) return;  // cannot be: it was there on the way in
  AnnounceRobust(*thread->head, futex, RobustKind::kPlain);
  UnlinkRobustFutex(*thread, futex);
  Free(futex);
  RetractRobust(*thread->head);
}

}  // namespace ko::os
