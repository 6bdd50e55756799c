#include "ko/os/futex.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "ko/os/errno_status.h"

namespace ko::os {

int FutexWake(const std::atomic<uint32_t>& word, FutexScope scope, int count) {
  const int operation = FUTEX_WAKE | (scope == FutexScope::kPrivate ? FUTEX_PRIVATE_FLAG : 0);
  const long woken = ::syscall(SYS_futex, &word, operation, count, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

absl::Status CheckFutexWaitv() {
  // A list of no words is refused with EINVAL where the call exists.
  if (::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0) == -1 && (errno == ENOSYS || errno == EPERM)) {
    return absl::UnimplementedError(
        "the kernel has no futex_waitv(2), which came with Linux 5.16, or a filter refuses it");
  }
  return absl::OkStatus();
}

void FutexWaitList::Add(const std::atomic<uint32_t>& word, uint32_t expected, FutexScope scope) {
  futex_waitv& wait = waits_[size_++];
  wait = {};
  wait.val = expected;
  wait.uaddr = reinterpret_cast<uintptr_t>(&word);
  wait.flags = FUTEX_32 | (scope == FutexScope::kPrivate ? FUTEX_PRIVATE_FLAG : 0);
}

int FutexWaitList::Sleep(const Deadline& deadline) const {
  timespec storage;
  const timespec* const until = deadline.AbsoluteTimespec(storage);
  // For a single word the kernel needs no memory.
  const futex_waitv& first = waits_[0];
  const long woken =
      size_ == 1 ? ::syscall(SYS_futex, first.uaddr, FUTEX_WAIT_BITSET | (first.flags & FUTEX_PRIVATE_FLAG),
                             static_cast<uint32_t>(first.val), until, nullptr, FUTEX_BITSET_MATCH_ANY)
                 : ::syscall(SYS_futex_waitv, waits_.data(), size_, 0, until, CLOCK_MONOTONIC);
  return woken >= 0 ? 0 : errno;
}

}  // namespace ko::os
