#include "ko/os/robust_list.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "ko/os/errno_status.h"
#include "ko/os/futex.h"
#include "ko/os/thread_id.h"

namespace ko::os {
namespace {

using internal::MarkedNodeOf;
using internal::NodeOf;

static_assert(sizeof(void*) == 8, "the C library's list is a different one on 32 bits");
static_assert(offsetof(RobustFutex, previous) + 8 == kRobustNodeOffset,
              "the C library writes 8 bytes before a node");

constexpr int kKernelListLimit = 2048;  // ROBUST_LIST_LIMIT

// A word that is held for as long as the memory has other owners, and perhaps its twin.
struct Membership {
  RobustFutex* futex;
  RobustFutex* twin;
  std::shared_ptr<const void> memory;
};

struct ThreadList : RobustThread {
  std::vector<HeldFutex> room;  // where `held` stands
  std::vector<Membership> memberships;

  void MakeRoomForOne() {
    if (held_count < held_capacity) return;
    room.resize(room.empty() ? 8 : 2 * room.size());
    held = room.data();
    held_capacity = static_cast<uint32_t>(room.size());
  }
};

constinit thread_local bool thread_ending = false;

void Unlink(RobustThread& list, uint32_t index) {
  robust_list* const node = NodeOf(*list.held[index].futex);
  robust_list* const next = index + 1 < list.held_count
                                ? MarkedNodeOf(*list.held[index + 1].futex, list.held[index + 1].kind)
                                : &list.head->list;
  robust_list* const before = internal::NodeBefore(list, index, node);
  if (before != nullptr) internal::SetNext(before, next);
  std::copy(list.held + index + 1, list.held + list.held_count, list.held + index);
  --list.held_count;
}

// Does what the kernel does for a thread that ended. A death between the mark and the wake-up is the kernel's affair.
void MarkDied(ThreadList& list, RobustFutex& futex) {
  AnnounceRobust(*list.head, futex, RobustKind::kPlain);
  uint32_t old = futex.word.load(std::memory_order_relaxed);
  while ((old & FUTEX_TID_MASK) == list.id) {
    // Release: pairs with the acquire load of whoever finds the mark, for all that the thread has done.
    if (futex.word.compare_exchange_weak(old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
                                         std::memory_order_release)) {
      if (old & FUTEX_WAITERS) FutexWake(futex.word, FutexScope::kShared, 1);
      break;
    }
  }
  RetractRobust(*list.head);
}

// First the words: a node without a holder is nothing to the kernel. Release: as in HoldRobustFutex.
void LetGo(ThreadList& list, const Membership& membership) {
  for (RobustFutex* const futex : {membership.futex, membership.twin}) {
    if (futex == nullptr) continue;
    futex->word.store(0, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    UnlinkRobustFutex(list, *futex);
  }
}

bool Link(ThreadList& list, const Membership& membership) {
  for (RobustFutex* const futex : {membership.futex, membership.twin}) {
    list.MakeRoomForOne();
    if (futex != nullptr && !LinkRobustFutex(list, *futex, RobustKind::kPlain)) return false;
  }
  return true;
}

// This thread's list; null until it has held something, and in a child that has not.
ThreadList* FindThreadList() { return static_cast<ThreadList*>(FindRobustThread()); }

// The calling thread's, or one that it has copied from its parent's.
ThreadList* AnyThreadList() { return static_cast<ThreadList*>(internal::robust_thread); }

struct ThreadEnd {
  ~ThreadEnd() {
    thread_ending = true;
    ThreadList* const list = FindThreadList();
    const std::unique_ptr<ThreadList> owned(AnyThreadList());
    internal::robust_thread = nullptr;
    if (list != nullptr) {
      // Priority-inheriting ones are left to the kernel, which alone can hand them over as those of a dead thread.
      for (uint32_t i = list->held_count; i-- > 0;) {
        if (list->held[i].kind == RobustKind::kPriorityInheriting) continue;
        MarkDied(*list, *list->held[i].futex);
        Unlink(*list, i);
      }
    }
  }
};

}  // namespace

namespace internal {
// A pointer and a flag beside it, because they can be read after the thread's destructors have run.
constinit thread_local RobustThread* robust_thread = nullptr;

robust_list* FindBefore(const RobustThread& thread, const robust_list* node) {
  robust_list* before = &thread.head->list;
  for (int i = 0; i < kKernelListLimit; ++i) {
    auto* next = reinterpret_cast<robust_list*>(reinterpret_cast<uintptr_t>(before->next) &
                                                ~uintptr_t{1});  // see MarkedNodeOf
    if (next == node) return before;
    if (next == &thread.head->list) return nullptr;
    before = next;
  }
  return nullptr;
}

void UnlinkInTheMiddle(RobustThread& thread, RobustFutex& futex) {
  for (uint32_t i = thread.held_count; i-- > 0;) {
    if (thread.held[i].futex == &futex) return Unlink(thread, i);
  }
}
}  // namespace internal

absl::Status GetRobustListHead(robust_list_head** head) {
  if (ThreadList* list = FindThreadList()) {
    list->MakeRoomForOne();
    *head = list->head;
    return absl::OkStatus();
  }
  if (thread_ending) return absl::FailedPreconditionError("the thread is about to end");
  size_t length = 0;
  robust_list_head* found = nullptr;
  if (::syscall(SYS_get_robust_list, 0, &found, &length) == -1) return ErrnoStatus(errno, "get_robust_list");
  if (found == nullptr) {
    return absl::FailedPreconditionError(
        "the thread has no robust list: its process was made by a raw clone(2), without set_robust_list(2)");
  }
  if (found->futex_offset != -kRobustNodeOffset) {
    return absl::UnimplementedError("the C library's robust mutexes have an unknown layout");
  }
  static thread_local ThreadEnd at_thread_end;
  (void)at_thread_end;
  // What a parent's thread of the same storage held is that thread's: forgotten here, and not unlinked.
  delete AnyThreadList();
  auto* const list =
      new ThreadList{{ProcessMark(), static_cast<uint32_t>(ThreadId()), found, nullptr, 0, 0}, {}, {}};
  list->MakeRoomForOne();
  internal::robust_thread = list;
  *head = found;
  return absl::OkStatus();
}

absl::Status HoldRobustFutex(RobustFutex& futex, std::shared_ptr<const void> memory, RobustFutex* twin) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  ThreadList& list = *AnyThreadList();
  // What nobody but this list keeps mapped was used by objects that are gone.
  std::erase_if(list.memberships, [&list](const Membership& membership) {
    if (membership.memory.use_count() > 1) return false;
    LetGo(list, membership);
    return true;
  });
  list.memberships.push_back({&futex, twin, std::move(memory)});
  if (!Link(list, list.memberships.back())) {
    LetGo(list, list.memberships.back());  // the one that may have been linked
    list.memberships.pop_back();
    return absl::InternalError("the thread's robust list has no end");
  }
  // From here on the kernel knows them. Release: pairs with the acquire loads of those who look who is there.
  if (twin != nullptr) twin->word.store(list.id, std::memory_order_release);
  futex.word.store(list.id, std::memory_order_release);
  return absl::OkStatus();
}

void ReleaseRobustFutex(RobustFutex& futex) {
  ThreadList* const list = FindThreadList();
  if (list == nullptr) return;
  const auto membership =
      std::find_if(list->memberships.begin(), list->memberships.end(),
                   [&](const Membership& candidate) { return candidate.futex == &futex; });
  if (membership == list->memberships.end()) return;
  LetGo(*list, *membership);
  list->memberships.erase(membership);
}

RobustFutex* FindHeldRobustFutex(const void* begin, const void* end) {
  ThreadList* const list = FindThreadList();
  if (list == nullptr) return nullptr;
  for (const Membership& membership : list->memberships) {
    if (membership.futex >= begin && membership.futex < end) return membership.futex;
  }
  return nullptr;
}

}  // namespace ko::os
