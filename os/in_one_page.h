#ifndef KO_OS_IN_ONE_PAGE_H_
#define KO_OS_IN_ONE_PAGE_H_

#include <bit>
#include <cstddef>
#include <new>

namespace ko::os {

// An allocator (for std::allocate_shared) of objects that lie in no more pages than they must. What a process that forks writes
// to has to be copied page by page.
template <class T>
struct InOnePage {
  using value_type = T;

  InOnePage() = default;
  template <class U>
  InOnePage(const InOnePage<U>&) {}

  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), Alignment(count))); }
  void deallocate(T* place, size_t count) { ::operator delete(place, Alignment(count)); }

  friend bool operator==(const InOnePage&, const InOnePage&) { return true; }

 private:
  static constexpr size_t kPage = 4096;

  static std::align_val_t Alignment(size_t count) {
    const size_t bytes = count * sizeof(T);
    return std::align_val_t(bytes < kPage ? std::bit_ceil(bytes) : kPage);
  }
};

}  // namespace ko::os

#endif  // KO_OS_IN_ONE_PAGE_H_
