#include "ko/os/shared_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"

namespace ko::os {

absl::StatusOr<SharedMapping> SharedMapping::Create(size_t bytes) { return Map(bytes, MAP_ANONYMOUS, -1, 0); }

absl::StatusOr<SharedMapping> SharedMapping::CreateSparse(size_t bytes) {
  absl::StatusOr<SharedMapping> mapping = Map(bytes, MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping.ok()) ::madvise(mapping->data_, bytes, MADV_DONTDUMP);
  return mapping;
}

KO_CHILD_CODE absl::StatusOr<SharedMapping> SharedMapping::OfFile(int fd, size_t bytes, off_t offset) {
  return Map(bytes, 0, fd, offset);
}

KO_CHILD_CODE absl::StatusOr<SharedMapping> SharedMapping::Map(size_t bytes, int flags, int fd,
                                                               off_t offset) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, offset);
  if (data == MAP_FAILED) {
    const int error_number = errno;
    absl::Status status = ErrnoStatus(error_number, "mmap", absl::StrCat(bytes, " shared bytes"));
    if (error_number == ENOMEM) return absl::ResourceExhaustedError(status.message());
    return status;
  }
  return SharedMapping(data, bytes);
}

KO_CHILD_CODE SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(only_process_, other.only_process_);
  return *this;
}

KO_CHILD_CODE SharedMapping::~SharedMapping() {
  if (data_ == nullptr || (only_process_ != 0 && only_process_ != ::getpid())) return;
  ::munmap(data_, bytes_);
}

void SharedMapping::Discard(size_t offset, size_t bytes) const {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + bytes) / page * page;
  if (begin < end) ::madvise(static_cast<char*>(data_) + begin, end - begin, MADV_REMOVE);
}

void SharedMapping::KeepFromNewChildren() {
  if (::madvise(data_, bytes_, MADV_DONTFORK) == 0) only_process_ = ::getpid();
}

}  // namespace ko::os
