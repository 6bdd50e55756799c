#include "ko/os/process_mark.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace ko::os {
namespace internal {

constinit std::atomic<std::atomic<uint64_t>*> marked_page = nullptr;

namespace {

// The mark stands in a page that each child finds wiped, the last one given out in ordinary memory, which
// children copy.
using Mark = std::atomic<uint64_t>;
struct Page {
  Mark mark;
  int word;
};
constinit std::atomic<uint64_t> last_mark = 0;

// Stands for the page where the kernel had none to give, here and in all children: a mark must not change within a
// process's life.
constinit Mark no_page = 0;

Mark* MapPage() {
  void* page = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return &no_page;
  if (::madvise(page, sizeof(Page), MADV_WIPEONFORK) != 0) {
    ::munmap(page, sizeof(Page));
    return &no_page;
  }
  return &(new (page) Page{})->mark;
}

Mark* KeepPage(Mark* mark) {
  Mark* other = nullptr;
  // Release: pairs with the acquire loads of marked_page, for the zero that stands in the page.
  if (marked_page.compare_exchange_strong(other, mark, std::memory_order_release,
                                          std::memory_order_acquire)) {
    return mark;
  }
  if (mark != &no_page) ::munmap(mark, sizeof(Page));  // another thread was first
  return other;
}

uint64_t NewMark(Mark& mark) {
  const uint64_t fresh = last_mark.fetch_add(1, std::memory_order_relaxed) + 1;
  uint64_t other = 0;
  return mark.compare_exchange_strong(other, fresh, std::memory_order_relaxed) ? fresh : other;
}

}  // namespace

uint64_t MakeProcessMark() {
  Mark* mark = marked_page.load(std::memory_order_acquire);  // pairs with MapPage
  if (mark == nullptr) mark = KeepPage(MapPage());
  if (mark == &no_page) return static_cast<uint64_t>(::getpid()) << 32;  // at the price of a system call
  const uint64_t value = mark->load(std::memory_order_relaxed);
  return value != 0 ? value : NewMark(*mark);
}

bool IsMadeProcessMark(uint64_t mark) { return ProcessMark() == mark; }

}  // namespace internal

int* WordThatNoForkCopies() {
  ProcessMark();
  internal::Mark* const mark = internal::marked_page.load(std::memory_order_acquire);  // pairs with KeepPage
  return mark == &internal::no_page ? nullptr : &reinterpret_cast<internal::Page*>(mark)->word;
}

}  // namespace ko::os
