#ifndef KO_IPC_SEMAPHORE_WORDS_H_
#define KO_IPC_SEMAPHORE_WORDS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/interrupt.h"
#include "ko/os/robust_list.h"
#include "ko/os/shared_mapping.h"

namespace ko {

// How a Semaphore lies in its shared memory: this, and a robust futex for each permit.
struct SemaphoreHeader {
  static constexpr uint64_t kMagic = 0x73656d61'2d6b6f31;
  static constexpr uint32_t kVersion = 1;

  // Of a named one.
  std::atomic<uint64_t> magic;
  std::atomic<uint32_t> version;
  std::atomic<uint32_t> permits;

  // Not 0 while the first waiter has lost its patience: whoever comes goes behind it and takes no permit before it.
  alignas(64) std::atomic<uint32_t> hungry;
  // Counts releases for a first waiter that cannot watch all permits.
  std::atomic<uint32_t> bell;

  os::RobustFutex turnstile;  // the first waiter is inside
};

// The permits of a semaphore, and the waiting for them.
//
// A permit's word names the thread that holds it and stands on that thread's robust list, so the kernel takes it back when
// the thread ends. All that wait go through a turnstile; the one inside, alone, sleeps on the words of the permits. It is
// woken by whoever gives one back, or by the kernel when a holder dies; and when it dies itself, the kernel lets the next
// one in, which looks at the words before it sleeps. So no death loses a wake-up, and nobody is overtaken for ever.
class SemaphoreWords {
 public:
  // How many of the words a waiter can watch: the kernel's limit, less the bell and the interrupt.
  static constexpr uint32_t kWatched = 126;
  static constexpr uint32_t kMaxPermits = 1 << 16;

  static size_t SegmentBytes(uint32_t permits) {
    return sizeof(SemaphoreHeader) + permits * sizeof(os::RobustFutex);
  }
  static void Sign(void* data, uint32_t permits);
  // Errors: DataLoss where it is no semaphore.
  static absl::StatusOr<uint32_t> CheckSignature(const os::SharedMapping& mapping);

  SemaphoreWords(os::SharedMapping mapping, uint32_t permits);
  SemaphoreWords(const SemaphoreWords&) = delete;
  // Gives back what the calling thread holds.
  ~SemaphoreWords();

  // The short way: a free permit for a thread that has used robust words before, where nobody is to be let go first.
  bool TakeAtOnce();
  absl::Status Acquire(absl::Duration timeout, const Interrupt& interrupt);
  bool TryAcquire();
  absl::Status Release();

  uint32_t permits() const { return permits_; }
  uint32_t available() const;
  // Whether a thread of this process holds one.
  bool IsAcquired() const;

 private:
  friend class SemaphoreTestPeer;

  // Takes a permit that is free.
  bool Take(os::RobustThread& thread);
  bool SpinToTake(os::RobustThread& thread);
  absl::Status WaitToTake(os::RobustThread& thread, const os::Deadline& deadline, const Interrupt& interrupt);
  // As the first waiter.
  absl::Status SleepToTake(os::RobustThread& thread, const os::Deadline& deadline,
                           const Interrupt& interrupt);
  // Marks the words as watched, and collects them. False where one is free.
  absl::StatusOr<bool> Watch(uint32_t bell, os::FutexWaitList& waits);
  void GiveBack(os::RobustThread& thread, os::RobustFutex& word);

  os::SharedMapping mapping_;
  const uint32_t permits_;
  SemaphoreHeader* const header_;
  os::RobustFutex* const words_;
  std::atomic<uint32_t> last_ = 0;  // where to look first
};

}  // namespace ko

#endif  // KO_IPC_SEMAPHORE_WORDS_H_
