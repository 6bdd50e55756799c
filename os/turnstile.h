#ifndef KO_OS_TURNSTILE_H_
#define KO_OS_TURNSTILE_H_

#include "absl/status/status.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"
#include "ko/os/robust_list.h"

namespace ko::os {

// A robust lock for waiting rooms: one thread at a time is inside, and may stay there asleep; the others sleep in front
// of it, for a limited time or until an interrupt. Whoever is inside waits for what all of them want, and tells the next
// one by leaving. So however many wait, one has to be woken, and a death in front or inside loses no wake-up:
// - the kernel frees it when the one inside ends, and wakes one in front;
// - the mark of sleepers stays when it is freed, so that whoever is next knows of the others;
// - one that is woken, and dies before it is inside, has announced itself: the kernel wakes another one.
// First come, first served among those that sleep.
//
// A thread that is inside may do other robust operations.
//
// Threads: any, of any process of one pid namespace; not twice by one.
// Fork: a child is not inside.
// Signals: the sleep goes on after one, unless the interrupt has fired.
// Crash: see above.
// Errors: DeadlineExceeded, Cancelled; those of GetRobustListHead; DataLoss where the word names a thread that does not
// exist.
absl::Status EnterTurnstile(RobustFutex& futex, const Deadline& deadline, Interrupt interrupt = {});
void LeaveTurnstile(RobustFutex& futex);

}  // namespace ko::os

#endif  // KO_OS_TURNSTILE_H_
