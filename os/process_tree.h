#ifndef KO_OS_PROCESS_TREE_H_
#define KO_OS_PROCESS_TREE_H_

#include <sys/types.h>

#include "absl/types/span.h"

namespace ko::os {

// Signals a child of this process that has made a session of its own (setsid), together with all that is in
// this session and all descendants of those, also where they have made sessions of their own. How many got it;
// with signal 0, which does nothing, how many there are. The calling process is never hit.
//
// A descendant whose parent has ended and which has left the session as well cannot be found by anybody; a
// Cgroup holds such processes, too.
//
// `leader`'s pid must not have been reaped: while it is a zombie the kernel gives its number to nobody else.
//
// SIGKILL ends also processes that fork meanwhile: all are stopped first, until a look at all processes finds
// no further one, and no stopped process forks. The number of looks is bounded; a bomb whose processes each
// make a session of their own, faster than they are found, gets away.
//
// Threads: any. Fork, crash: none (a caller that dies in the middle may leave stopped processes). Signals:
// EINTR is retried. Errors: none; processes that this one may not signal are not counted. Where /proc is not
// mounted, or there is no descriptor left to read it, the process group of the leader gets the signal and
// counts as one.
int SignalSession(pid_t leader, int signo);

// The same for many, with one look at the processes of the machine.
int SignalSessions(absl::Span<const pid_t> leaders, int signo);

}  // namespace ko::os

#endif  // KO_OS_PROCESS_TREE_H_
