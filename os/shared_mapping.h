#ifndef KO_OS_SHARED_MAPPING_H_
#define KO_OS_SHARED_MAPPING_H_

#include <sys/types.h>

#include <cstddef>
#include <utility>

#include "absl/status/statusor.h"

namespace ko::os {

// Owns a shared mapping: memory that children forked later share with this process. Of an anonymous one, zeroed at
// first, nothing is left behind when its last process ends.
//
// Threads: const use from any. Fork: both processes own a mapping of the same memory; destruction unmaps
// one's own. Signals: none. Crash: the kernel unmaps. Errors: ResourceExhausted where there is no memory or
// no room for a mapping; InvalidArgument for a size of 0.
class SharedMapping {
 public:
  static absl::StatusOr<SharedMapping> Create(size_t bytes);
  // The same where most of it may never be used: only what has been written to takes memory, and no promise is asked of
  // the kernel that there will be enough (MAP_NORESERVE). Core dumps leave it out.
  static absl::StatusOr<SharedMapping> CreateSparse(size_t bytes);
  // Of a file's bytes from `offset` on (a multiple of the page size), which it is to have.
  static absl::StatusOr<SharedMapping> OfFile(int fd, size_t bytes, off_t offset = 0);

  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        only_process_(std::exchange(other.only_process_, 0)) {}
  SharedMapping& operator=(SharedMapping&& other) noexcept;
  ~SharedMapping();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool valid() const { return data_ != nullptr; }

  // Gives the memory of the whole pages in this range back to the kernel; they read as zeros then, in every process.
  // Of no effect where the kernel refuses.
  void Discard(size_t offset, size_t bytes) const;

  // Leaves this mapping out of processes that are forked from now on (MADV_DONTFORK): their copies of this
  // object own nothing, whatever data() says.
  void KeepFromNewChildren();

 private:
  static absl::StatusOr<SharedMapping> Map(size_t bytes, int flags, int fd, off_t offset);
  SharedMapping(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  void* data_ = nullptr;
  size_t bytes_ = 0;
  pid_t only_process_ = 0;  // the one that has the mapping, where children do not; 0: all
};

}  // namespace ko::os

#endif  // KO_OS_SHARED_MAPPING_H_
