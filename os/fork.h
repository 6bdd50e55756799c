#ifndef KO_OS_FORK_H_
#define KO_OS_FORK_H_

#include <variant>

#include "ko/os/forked_process.h"
#include "ko/os/start_failure.h"

namespace ko::os {

// What a child does with its parent's signal handlers. Ignored signals stay ignored either way, as exec(2) does it.
enum class Handlers { kReset, kKept };

// fork(2) with a pidfd for the child, to be called with all signals blocked. Where there is no fd for that the child does
// not get to return from here: there is a child or an error, never both.
//
// By the C library, so that its own at-fork work and everybody's pthread_atfork handlers are done; or, where this process has
// one thread and nobody else's handlers (NeedsCLibraryFork), by clone3(2), which gives the pidfd and takes the signal
// handlers away by itself. What the C library's fork does for the one thread of such a child is done then (ThreadRecords);
// not so for a lock of the loader that this thread holds, in a constructor of a library that is being opened: the body is
// not to load libraries then.
// Errors: as fork(2) and pidfd_open(2).
std::variant<ForkedProcess, StartFailure> ForkWithPidfd(Handlers handlers);

}  // namespace ko::os

#endif  // KO_OS_FORK_H_
