#ifndef KO_PROCESS_FORK_H_
#define KO_PROCESS_FORK_H_

#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "ko/process/child.h"
#include "ko/process/child_body.h"

namespace ko {

struct ForkOptions {
  // Fork although this process has other threads (to stop them for the moment of the fork, see fork_hook.h). Only the
  // forking thread goes on in the child; whatever lock another one held is held there for ever. Safe if the body uses nothing that could be locked, or calls
  // exec. Fork itself waits for a thread that sleeps in a read of a FILE (fgets(stdin), say), as the flush of
  // stdio needs that FILE's lock.
  bool allow_threads = false;

  // The kernel kills the child (SIGKILL) when its parent dies, however that dies; a child whose parent is
  // gone already does not run its body. The kernel ties this to the forking thread: it must live as long as
  // the child.
  bool die_with_parent = false;

  // Runs in the child before the body and before any signal is let in: the place to install handlers, so that
  // a signal sent the moment Fork returned finds them. A status that is not OK ends the child as a body's
  // would.
  absl::AnyInvocable<absl::Status()> setup = nullptr;
};

// Runs `body` in a forked child: a copy of this process as it is now. For bodies see child_body.h.
//
// In the child: signal handlers are reset (ignored signals stay ignored, the mask is the parent's), the body
// runs, stdio and iostreams are flushed, and the child leaves by _exit: neither the parent's atexit functions
// nor its static destructors run, not even where the body calls exit(); what the body itself registered with
// atexit runs at exit(), and so do the destructors of this thread's thread_local objects. The body and what it
// captured are destroyed as it returns. An exception that escapes the body becomes exit code 1 with its what()
// in ExitStatus::ToStatus().
//
// Threads: refused while there are others, see ForkOptions. Fork: what it does, with the hooks of fork_hook.h
// around it. Signals: blocked across the fork, so the parent's handlers never run in the child. Crash: a child outlives its parent unless
// die_with_parent is set. Errors: InvalidArgument (empty body), FailedPrecondition (threads), Unavailable or
// ResourceExhausted where the kernel has no process (EAGAIN), memory (ENOMEM) or fd (EMFILE) left: then there
// is no child. A stage that fails in the child itself is reported by Wait as ExitStatus::NotStarted.
absl::StatusOr<Child> Fork(ChildBody body, ForkOptions options = {});

// The same for supervisors, to which a start that failed is one of the ways in which a process can end: the
// Child, or an ExitStatus::NotStarted, whose ToStatus() is what Fork would have returned. With `slots` the child's report
// has its place in these; they may be gone before the child.
class ReportSlots;
std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options = {},
                                        ReportSlots* slots = nullptr);

}  // namespace ko

#endif  // KO_PROCESS_FORK_H_
