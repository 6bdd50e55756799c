#ifndef KO_OS_PROCESS_MARK_H_
#define KO_OS_PROCESS_MARK_H_

#include <atomic>
#include <cstdint>

namespace ko::os {

namespace internal {
extern constinit std::atomic<std::atomic<uint64_t>*> marked_page;
uint64_t MakeProcessMark();
bool IsMadeProcessMark(uint64_t mark);
}  // namespace internal

// A number of this process, not 0, that no process it descends from has had: what was copied by a fork can be
// told by it. Costs no system call from the second time on, and is right in every child with a memory of its
// own, however it was made: the kernel wipes the page in which the number stands (MADV_WIPEONFORK).
inline uint64_t ProcessMark() {
  const std::atomic<uint64_t>* const mark =
      internal::marked_page.load(std::memory_order_acquire);  // see MakeProcessMark
  const uint64_t value = mark != nullptr ? mark->load(std::memory_order_relaxed) : 0;
  return value != 0 ? value : internal::MakeProcessMark();
}

// Whether ProcessMark would return `mark`, which it has returned once, here or in a process that this one descends from. For
// where each instruction counts.
inline bool IsProcessMark(uint64_t mark) {
  const std::atomic<uint64_t>* const page =
      internal::marked_page.load(std::memory_order_acquire);  // as above
  if (page != nullptr && page->load(std::memory_order_relaxed) == mark) return true;
  return internal::IsMadeProcessMark(mark);
}

// Room for what the kernel is to tell a process while it forks: in that page, too, of which no child gets a copy. Written
// anywhere else it costs the copy of a page before the child begins. Null where there is none. For one thread at a time.
int* WordThatNoForkCopies();

}  // namespace ko::os

#endif  // KO_OS_PROCESS_MARK_H_
