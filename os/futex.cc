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
  const long woken = ::syscall(SYS_futex_waitv, waits_.data(), size_, 0, deadline.AbsoluteTimespec(storage),
                               CLOCK_MONOTONIC);
  return woken >= 0 ? 0 : errno;
}

}  // namespace ko::os
