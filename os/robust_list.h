#ifndef KO_OS_ROBUST_LIST_H_
#define KO_OS_ROBUST_LIST_H_

#include <linux/futex.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "ko/os/process_mark.h"

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

// How the kernel treats a word when its thread ends.
enum class RobustKind {
  kPlain,               // it wakes one sleeper
  kPriorityInheriting,  // it hands the word over to one (FUTEX_LOCK_PI)
};

struct HeldFutex {
  RobustFutex* futex;
  RobustKind kind;
};

// What a thread needs at each robust operation.
struct RobustThread {
  uint64_t process_mark;
  uint32_t id;  // as it stands in words
  robust_list_head* head;
  // What it holds, in the order of its robust list, at whose tail they stand; the C library puts its own mutexes in front.
  HeldFutex* held;
  uint32_t held_count;
  uint32_t held_capacity;
};

namespace internal {
extern constinit thread_local RobustThread* robust_thread;
}  // namespace internal

// The calling thread's; null before its first GetRobustListHead in this process.
inline RobustThread* FindRobustThread() {
  RobustThread* const thread = internal::robust_thread;
  return thread != nullptr && thread->process_mark == ProcessMark() ? thread : nullptr;
}

// The calling thread's list head, which the kernel reads when the thread ends. Makes room for one more link.
// Errors: FailedPrecondition in a thread that is about to end (in destructors of its thread_local objects)
// and in a process that was made without the C library and has no list; Unimplemented where the C library
// lays its mutexes out differently.
absl::Status GetRobustListHead(robust_list_head** head);

// The calling thread's, with room for one more link; null where only GetRobustListHead can tell.
inline RobustThread* FindRobustThreadWithRoom() {
  RobustThread* const thread = FindRobustThread();
  return thread != nullptr && thread->held_count < thread->held_capacity ? thread : nullptr;
}

namespace internal {

inline robust_list* NodeOf(RobustFutex& futex) {
  return reinterpret_cast<robust_list*>(reinterpret_cast<char*>(&futex) + kRobustNodeOffset);
}

// As a pointer to the node is written for the kernel: bit 0 tells of a priority-inheriting one.
inline robust_list* MarkedNodeOf(RobustFutex& futex, RobustKind kind) {
  const uintptr_t bit = kind == RobustKind::kPriorityInheriting ? 1 : 0;
  return reinterpret_cast<robust_list*>(reinterpret_cast<uintptr_t>(NodeOf(futex)) | bit);
}

inline void SetNext(robust_list* node, robust_list* next) {
  reinterpret_cast<std::atomic<uintptr_t>*>(node)->store(reinterpret_cast<uintptr_t>(next),
                                                         std::memory_order_relaxed);
  // The kernel reads the list as it stands when the thread is killed: each step must be in memory before the
  // next.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// The node of the list whose next one is `node`, in the C library's part of it. Null where there is none.
robust_list* FindBefore(const RobustThread& thread, const robust_list* node);

// The one before what is held at `index`, which is linked as `node`; at held_count before the list's end.
inline robust_list* NodeBefore(const RobustThread& thread, uint32_t index, const robust_list* node) {
  if (index > 0) return NodeOf(*thread.held[index - 1].futex);
  return thread.head->list.next == node ? &thread.head->list : FindBefore(thread, node);
}

void UnlinkInTheMiddle(RobustThread& thread, RobustFutex& futex);

}  // namespace internal

// Tells the kernel which word the calling thread is about to take or to give back. If the thread ends before the
// Retract, the kernel frees the word where it names the thread, and where a plain one names nobody it wakes one sleeper:
// a wake-up that the thread had been given, or was about to give, is not lost with it. One at a time for each thread, and
// no robust pthread mutex may be locked or unlocked meanwhile.
inline void AnnounceRobust(robust_list_head& head, RobustFutex& futex, RobustKind kind) {
  head.list_op_pending = internal::MarkedNodeOf(futex, kind);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // before the word is touched
}
inline void RetractRobust(robust_list_head& head) {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // after the word has been touched
  head.list_op_pending = nullptr;
}

// Enters a word that names the calling thread into its list, so that the kernel frees it when the thread ends, and takes
// it out again. To be called between Announce and Retract, of a thread with room for one more link. The word stays mapped
// for as long as it is linked. Linking fails, with false, only where the C library's list has no end.
[[nodiscard]] inline bool LinkRobustFutex(RobustThread& thread, RobustFutex& futex, RobustKind kind) {
  robust_list* const end = &thread.head->list;
  robust_list* const before = internal::NodeBefore(thread, thread.held_count, end);
  if (before == nullptr) return false;
  internal::SetNext(internal::NodeOf(futex), end);
  internal::SetNext(before, internal::MarkedNodeOf(futex, kind));
  thread.held[thread.held_count++] = {&futex, kind};
  return true;
}
inline void UnlinkRobustFutex(RobustThread& thread, RobustFutex& futex) {
  const uint32_t last = thread.held_count - 1;
  if (thread.held_count == 0 || thread.held[last].futex != &futex) {
    return internal::UnlinkInTheMiddle(thread, futex);
  }
  robust_list* const before = internal::NodeBefore(thread, last, internal::NodeOf(futex));
  if (before != nullptr) internal::SetNext(before, &thread.head->list);
  thread.held_count = last;
}

// Puts the calling thread's id into a word that stands at 0, and takes it off when the thread ends: by the
// kernel's hand in whatever way it ends, which wakes one sleeper. A `twin` goes with it, for sleepers of another
// kind, of whom one is woken as well; the two words change one after the other. `memory` keeps them mapped
// meanwhile. Nothing is ever read from the futex's list pointers, so damage to the shared memory cannot spread
// into this process.
//
// Threads: each has its own list.
// Fork: a child holds nothing.
// Signals: not from handlers.
// Crash: at each instruction the word is either 0 or marked when the thread has ended.
// Errors: those of GetRobustListHead.
absl::Status HoldRobustFutex(RobustFutex& futex, std::shared_ptr<const void> memory,
                             RobustFutex* twin = nullptr);

// Back to 0, and its twin. Does nothing for one that the calling thread does not hold.
void ReleaseRobustFutex(RobustFutex& futex);

// The one between `begin` and `end` that the calling thread holds, or null.
RobustFutex* FindHeldRobustFutex(const void* begin, const void* end);

}  // namespace ko::os

#endif  // KO_OS_ROBUST_LIST_H_
