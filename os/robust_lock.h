#ifndef KO_OS_ROBUST_LOCK_H_
#define KO_OS_ROBUST_LOCK_H_

#include "absl/status/statusor.h"
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
// stands in shared memory.
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

// Errors: those of GetRobustListHead; DataLoss where the word names a thread that does not exist or is the
// calling one.
absl::StatusOr<RobustLockState> AcquireRobustLock(RobustFutex& futex);

void ReleaseRobustLock(RobustFutex& futex);

}  // namespace ko::os

#endif  // KO_OS_ROBUST_LOCK_H_
