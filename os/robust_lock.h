#ifndef KO_OS_ROBUST_LOCK_H_
#define KO_OS_ROBUST_LOCK_H_

#include "absl/status/statusor.h"
#include "ko/os/deadline.h"
#include "ko/os/robust_list.h"

namespace ko::os {

// A lock in shared memory for short critical sections, which the kernel takes from a thread that dies with
// it.
//
// It is a priority-inheriting futex: with those the kernel itself hands the lock from one thread to the next,
// so that there is no moment at which a death could lose a wake-up (a plain robust mutex has one: a sleeper
// that was woken and dies while a third thread takes the lock without knowing of the remaining sleepers).
//
// One at a time for each thread, and no robust pthread mutex may be locked or unlocked meanwhile: the thread
// tells the kernel about it in the one place there is for operations under way, so that no list pointer
// stands in shared memory. One that is kept (KeepRobustLock) stands in the thread's list instead, and does not count.
//
// Threads: any, of any process of one pid namespace.
// Fork: a child does not hold it.
// Signals: not from handlers; the wait goes on after one.
// Crash: the next one to take it is told.
// Errors: see AcquireRobustLock.

enum class RobustLockState {
  kClean,
  kHolderDied,  // the previous holder died with it, or while it repaired what an earlier one had left
};

// Errors: those of GetRobustListHead; DeadlineExceeded where another thread has it and goes on having it; DataLoss where
// the word names a thread that does not exist or is the calling one.
absl::StatusOr<RobustLockState> AcquireRobustLock(
    RobustFutex& futex, const Deadline& deadline = Deadline::After(absl::InfiniteDuration()));

// Takes a lock that is free and that nobody has died with; false else, and before the thread's first AcquireRobustLock.
bool TryAcquireFreeRobustLock(RobustFutex& futex);

void ReleaseRobustLock(RobustFutex& futex);

// Whether the calling thread holds it.
bool HoldsRobustLock(const RobustFutex& futex);

// After AcquireRobustLock: for a critical section in which the thread may do anything, other robust locks included.
// `futex` is to stay mapped until then. Where this fails (Internal) the lock is as it was.
absl::Status KeepRobustLock(RobustFutex& futex);
void ReleaseKeptRobustLock(RobustFutex& futex);

}  // namespace ko::os

#endif  // KO_OS_ROBUST_LOCK_H_
