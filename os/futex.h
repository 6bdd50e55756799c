#ifndef KO_OS_FUTEX_H_
#define KO_OS_FUTEX_H_

#include <linux/futex.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "ko/os/deadline.h"

namespace ko::os {

enum class FutexScope {
  kPrivate,  // the word is waited on by threads of one process
  kShared,   // also by other processes that map the same memory
};

// Wakes at most `count` sleepers on `word`; how many. Async-signal-safe.
int FutexWake(const std::atomic<uint32_t>& word, FutexScope scope, int count);

// Unimplemented where the kernel has no futex_waitv(2).
absl::Status CheckFutexWaitv();

// Words to sleep on together (futex_waitv(2), Linux 5.16).
//
// Threads: one at a time.
// Fork: a plain value.
// Signals: Sleep returns.
// Crash: nothing is left.
// Errors: see Sleep.
class FutexWaitList {
 public:
  static constexpr size_t kCapacity = 128;  // the kernel's limit

  bool full() const { return size_ == kCapacity; }
  // Not when it is full.
  void Add(const std::atomic<uint32_t>& word, uint32_t expected, FutexScope scope);

  // Sleeps until one of the words is woken, unless one differs from what was expected of it. Returns 0 after
  // a wake-up, else the errno: EAGAIN (a word differed), EINTR, ETIMEDOUT, ENOMEM.
  int Sleep(const Deadline& deadline) const;

 private:
  std::array<futex_waitv, kCapacity> waits_;
  size_t size_ = 0;
};

}  // namespace ko::os

#endif  // KO_OS_FUTEX_H_
