#include "ko/os/fd_set.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#include "ko/os/child_code.h"

namespace ko::os {
namespace {

constexpr size_t kBits = 64;

uint64_t BitOf(size_t fd) { return uint64_t{1} << (fd % kBits); }

}  // namespace

void FdSet::Add(int fd) {
  if (fd < 0) return;
  const auto number = static_cast<size_t>(fd);
  if (number / kBits >= words_.size()) words_.resize(number / kBits + 1);
  words_[number / kBits] |= BitOf(number);
}

void FdSet::Remove(int fd) {
  if (fd < 0) return;
  const auto number = static_cast<size_t>(fd);
  if (Contains(number)) words_[number / kBits] &= ~BitOf(number);
}

KO_CHILD_CODE bool FdSet::Contains(size_t fd) const {
  return fd / kBits < words_.size() && (words_[fd / kBits] & BitOf(fd)) != 0;
}

KO_CHILD_CODE void FdSet::CloseAll(int kept) const {
  const auto closes = [&](size_t fd) { return Contains(fd) && static_cast<int>(fd) != kept; };
  const size_t end = words_.size() * kBits;
  for (size_t first = 0; first < end; ++first) {
    if (words_[first / kBits] == 0) {
      first |= kBits - 1;  // to the word's end
      continue;
    }
    if (!closes(first)) continue;
    size_t last = first;
    while (closes(last + 1)) ++last;
    if (::syscall(SYS_close_range, first, last, 0) != 0) {  // an older kernel, or a filter
      for (size_t fd = first; fd <= last; ++fd) ::close(static_cast<int>(fd));
    }
    first = last;
  }
}

}  // namespace ko::os
