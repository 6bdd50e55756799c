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

static_assert(sizeof(void*) == 8, "the C library's list is a different one on 32 bits");
static_assert(offsetof(RobustFutex, previous) + 8 == kRobustNodeOffset,
              "the C library writes 8 bytes before a node");

constexpr int kKernelListLimit = 2048;  // ROBUST_LIST_LIMIT

struct HeldFutex {
  RobustFutex* futex;
  RobustKind kind;
  std::shared_ptr<const void> memory;  // may be null
};

// What the thread holds, in the order of its robust list, at whose tail they stand; the C library puts its
// own mutexes in front.
struct ThreadList {
  pid_t thread_id = 0;
  robust_list_head* head = nullptr;
  std::vector<HeldFutex> held;
};

// A pointer and a flag, because they can be read after the thread's destructors have run.
constinit thread_local ThreadList* thread_list = nullptr;
constinit thread_local bool thread_ending = false;

void SetNext(robust_list* node, robust_list* next) {
  reinterpret_cast<std::atomic<uintptr_t>*>(node)->store(reinterpret_cast<uintptr_t>(next),
                                                         std::memory_order_relaxed);
  // The kernel reads the list as it stands when the thread is killed: each step must be in memory before the
  // next.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// The node of the list whose next one is `node`, in the C library's part of it. Null where there is none.
robust_list* FindBefore(ThreadList& list, const robust_list* node) {
  robust_list* before = &list.head->list;
  for (int i = 0; i < kKernelListLimit; ++i) {
    auto* next = reinterpret_cast<robust_list*>(reinterpret_cast<uintptr_t>(before->next) &
                                                ~uintptr_t{1});  // see MarkedNodeOf
    if (next == node) return before;
    if (next == &list.head->list) return nullptr;
    before = next;
  }
  return nullptr;
}

absl::Status Append(ThreadList& list, RobustFutex& futex, RobustKind kind) {
  robust_list* const end = &list.head->list;
  robust_list* before = list.held.empty() ? FindBefore(list, end) : NodeOf(*list.held.back().futex);
  if (before == nullptr) return absl::InternalError("the thread's robust list has no end");
  SetNext(NodeOf(futex), end);
  SetNext(before, MarkedNodeOf(futex, kind));
  return absl::OkStatus();
}

void Unlink(ThreadList& list, size_t index) {
  robust_list* const node = NodeOf(*list.held[index].futex);
  robust_list* const next = index + 1 < list.held.size()
                                ? MarkedNodeOf(*list.held[index + 1].futex, list.held[index + 1].kind)
                                : &list.head->list;
  robust_list* const before = index > 0 ? NodeOf(*list.held[index - 1].futex) : FindBefore(list, node);
  if (before != nullptr) SetNext(before, next);
  list.held.erase(list.held.begin() + index);
}

// Does what the kernel does for a thread that ended. A death between the mark and the wake-up is the kernel's affair.
void MarkDied(ThreadList& list, RobustFutex& futex) {
  AnnounceRobust(*list.head, futex, RobustKind::kPlain);
  uint32_t old = futex.word.load(std::memory_order_relaxed);
  while ((old & FUTEX_TID_MASK) == static_cast<uint32_t>(list.thread_id)) {
    // Release: pairs with the acquire load of whoever finds the mark, for all that the thread has done.
    if (futex.word.compare_exchange_weak(old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
                                         std::memory_order_release)) {
      if (old & FUTEX_WAITERS) FutexWake(futex.word, FutexScope::kShared, 1);
      break;
    }
  }
  RetractRobust(*list.head);
}

struct ThreadEnd {
  ~ThreadEnd() {
    thread_ending = true;
    ThreadList* const list = std::exchange(thread_list, nullptr);
    if (list != nullptr && list->thread_id == ThreadId()) {
      // Priority-inheriting ones are left to the kernel, which alone can hand them over as those of a dead thread.
      for (size_t i = list->held.size(); i-- > 0;) {
        if (list->held[i].kind == RobustKind::kPriorityInheriting) continue;
        MarkDied(*list, *list->held[i].futex);
        Unlink(*list, i);
      }
    }
    delete list;
  }
};

// This thread's list; null until it has held something, and in a child that has not.
ThreadList* FindThreadList() {
  return thread_list != nullptr && thread_list->thread_id == ThreadId() ? thread_list : nullptr;
}

}  // namespace

absl::Status GetRobustListHead(robust_list_head** head) {
  if (ThreadList* list = FindThreadList()) {
    if (list->held.size() == list->held.capacity()) list->held.reserve(2 * list->held.size());
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
  delete thread_list;
  thread_list = new ThreadList{.thread_id = ThreadId(), .head = found, .held = {}};
  thread_list->held.reserve(8);
  *head = found;
  return absl::OkStatus();
}

absl::Status LinkRobustFutex(RobustFutex& futex, RobustKind kind, std::shared_ptr<const void> memory) {
  if (absl::Status status = Append(*thread_list, futex, kind); !status.ok()) return status;
  thread_list->held.push_back({&futex, kind, std::move(memory)});
  return absl::OkStatus();
}

void UnlinkRobustFutex(RobustFutex& futex) {
  for (size_t i = thread_list->held.size(); i-- > 0;) {
    if (thread_list->held[i].futex == &futex) return Unlink(*thread_list, i);
  }
}

absl::Status HoldRobustFutex(RobustFutex& futex, std::shared_ptr<const void> memory) {
  robust_list_head* head;
  if (absl::Status status = GetRobustListHead(&head); !status.ok()) return status;
  ThreadList& list = *thread_list;
  // What nobody but this list keeps mapped was used by objects that are gone.
  for (size_t i = list.held.size(); i-- > 0;) {
    if (list.held[i].memory == nullptr || list.held[i].memory.use_count() > 1) continue;
    list.held[i].futex->word.store(0, std::memory_order_relaxed);
    Unlink(list, i);
  }
  if (absl::Status status = LinkRobustFutex(futex, RobustKind::kPlain, std::move(memory)); !status.ok())
    return status;
  // From here on the kernel knows it. Release: pairs with the acquire loads of those who look who is there.
  futex.word.store(static_cast<uint32_t>(list.thread_id), std::memory_order_release);
  return absl::OkStatus();
}

void ReleaseRobustFutex(RobustFutex& futex) {
  ThreadList* const list = FindThreadList();
  if (list == nullptr) return;
  const auto held = std::find_if(list->held.begin(), list->held.end(),
                                 [&](const HeldFutex& candidate) { return candidate.futex == &futex; });
  if (held == list->held.end()) return;
  // First the word: a node without a holder is nothing to the kernel. Release: as in HoldRobustFutex.
  futex.word.store(0, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  Unlink(*list, held - list->held.begin());
}

RobustFutex* FindHeldRobustFutex(const void* begin, const void* end) {
  ThreadList* const list = FindThreadList();
  if (list == nullptr) return nullptr;
  for (const HeldFutex& held : list->held) {
    if (held.futex >= begin && held.futex < end) return held.futex;
  }
  return nullptr;
}

}  // namespace ko::os
