#ifndef KO_OS_ORPHANS_H_
#define KO_OS_ORPHANS_H_

#include <sys/types.h>

namespace ko::os {

// Reaps the children of this process that have ended and are nobody's: those that it was given when their own
// parents died, as PID 1 or as a subreaper. A child that this process has a pidfd of (each ko::Child has one)
// is left to whoever holds that, and so is `kept`. How many it reaped; never sleeps.
//
// Threads: a process with no other. Needs /proc: where that is not mounted, or is that of other process ids,
// `kept` alone is known to be somebody's. Errors: none.
int ReapOrphans(pid_t kept);

}  // namespace ko::os

#endif  // KO_OS_ORPHANS_H_
