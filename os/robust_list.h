#ifndef KO_OS_ROBUST_LIST_H_
#define KO_OS_ROBUST_LIST_H_

#include <linux/futex.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"

namespace ko::os {

// A futex word in shared memory that the kernel marks when the thread whose id stands in it ends:
// FUTEX_OWNER_DIED takes the id's place, and where FUTEX_WAITERS is set one sleeper is woken. It has the
// layout of the C library's robust mutexes, because a thread has one robust list for all.
struct alignas(64) RobustFutex {
  std::atomic<uint32_t> word;
  uint32_t unused[5];
  std::atomic<uintptr_t> previous;  // written by the C library for its neighbours in the list; never read
  std::atomic<uintptr_t> next;      // written for the kernel; never read
};
inline constexpr long kRobustNodeOffset = offsetof(RobustFutex, next);

// The calling thread's list head, which the kernel reads when the thread ends. Makes room for one more link.
// Errors: FailedPrecondition in a thread that is about to end (in destructors of its thread_local objects)
// and in a process that was made without the C library and has no list; Unimplemented where the C library
// lays its mutexes out differently.
absl::Status GetRobustListHead(robust_list_head** head);

// How the kernel treats a word when its thread ends.
enum class RobustKind {
  kPlain,               // it wakes one sleeper
  kPriorityInheriting,  // it hands the word over to one (FUTEX_LOCK_PI)
};

// Where a futex stands in a robust list, and how the kernel is pointed to it: bit 0 tells of a priority-inheriting one.
inline robust_list* NodeOf(RobustFutex& futex) {
  return reinterpret_cast<robust_list*>(reinterpret_cast<char*>(&futex) + kRobustNodeOffset);
}
inline robust_list* MarkedNodeOf(RobustFutex& futex, RobustKind kind) {
  const uintptr_t bit = kind == RobustKind::kPriorityInheriting ? 1 : 0;
  return reinterpret_cast<robust_list*>(reinterpret_cast<uintptr_t>(NodeOf(futex)) | bit);
}

// Tells the kernel which word the calling thread is about to take or to give back. If the thread ends before the
// Retract, the kernel frees the word where it names the thread, and where a plain one names nobody it wakes one sleeper:
// a wake-up that the thread had been given, or was about to give, is not lost with it. One at a time for each thread, and
// no robust pthread mutex may be locked or unlocked meanwhile.
inline void AnnounceRobust(robust_list_head& head, RobustFutex& futex, RobustKind kind) {
  head.list_op_pending = MarkedNodeOf(futex, kind);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // before the word is touched
}
inline void RetractRobust(robust_list_head& head) {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // after the word has been touched
  head.list_op_pending = nullptr;
}

// Enters a word that names the calling thread into its list, so that the kernel frees it when the thread ends, and takes
// it out again. To be called between Announce and Retract, after GetRobustListHead: then neither allocates, and the link
// fails only with Internal, where the C library's list has no end. `memory` may be null where the caller keeps the word
// mapped for as long as it is linked.
absl::Status LinkRobustFutex(RobustFutex& futex, RobustKind kind,
                             std::shared_ptr<const void> memory = nullptr);
void UnlinkRobustFutex(RobustFutex& futex);

// Puts the calling thread's id into a word that stands at 0, and takes it off when the thread ends: by the
// kernel's hand in whatever way it ends. `memory` keeps the word mapped meanwhile. Nothing is ever read from
// the futex's list pointers, so damage to the shared memory cannot spread into this process.
//
// Threads: each has its own list.
// Fork: a child holds nothing.
// Signals: not from handlers.
// Crash: at each instruction the word is either 0 or marked when the thread has ended.
// Errors: those of GetRobustListHead.
absl::Status HoldRobustFutex(RobustFutex& futex, std::shared_ptr<const void> memory);

// Back to 0. Does nothing for one that the calling thread does not hold.
void ReleaseRobustFutex(RobustFutex& futex);

// The one between `begin` and `end` that the calling thread holds, or null.
RobustFutex* FindHeldRobustFutex(const void* begin, const void* end);

}  // namespace ko::os

#endif  // KO_OS_ROBUST_LIST_H_
