#ifndef KO_BENCHMARKS_BALLAST_H_
#define KO_BENCHMARKS_BALLAST_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstring>

namespace ko::benchmarks {

// Memory of the caller's, in small pages, as a heap is: what fork copies the page tables of.
class Ballast {
 public:
  explicit Ballast(size_t megabytes) : bytes_(megabytes << 20) {
    if (bytes_ == 0) return;
    data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::madvise(data_, bytes_, MADV_NOHUGEPAGE);
    std::memset(data_, 1, bytes_);
  }
  Ballast(const Ballast&) = delete;
  ~Ballast() {
    if (bytes_ != 0) ::munmap(data_, bytes_);
  }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_BALLAST_H_
