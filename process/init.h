#ifndef KO_PROCESS_INIT_H_
#define KO_PROCESS_INIT_H_

#include "absl/status/statusor.h"
#include "ko/process/child_body.h"
#include "ko/process/command.h"
#include "ko/process/exit_status.h"

namespace ko {

struct InitOptions {
  // Where this process is not PID 1: orphans of its descendants become its children all the same
  // (PR_SET_CHILD_SUBREAPER), until RunAsInit returns.
  bool adopt_orphans = false;
};

// What PID 1 of a container has to do: runs `main` as a child, passes signals on to it, reaps every orphan that
// is re-parented to this process, and returns when main has ended.
//
//   int main() { return ko::ShellExitCode(ko::RunAsInit(ko::Command{.argv = {"server"}})); }
//
// Passed on is every signal that can wait, but SIGCHLD, SIGTTIN and SIGTTOU; not one of the terminal's that
// main, being in the same process group, has got itself. The rule that the library waits for its own children
// only has this one exception: here a child that has ended and that no Child of this process's owns is reaped,
// so code that has forked by other means and counts on its statuses does not go with it. What main leaves
// running lives on (the kernel ends it when a PID 1 exits).
//
// Threads: refused where there are others. Fork: main has the dispositions and mask of the caller. Signals:
// blocked meanwhile, and read from a descriptor; what comes for main when it has ended is dropped. Crash: main
// dies with this process where Command::die_with_parent says so. Errors: FailedPrecondition (threads); as Fork
// and Exec; signalfd(2), prctl(2).
absl::StatusOr<ExitStatus> RunAsInit(ChildBody main, InitOptions options = {});
absl::StatusOr<ExitStatus> RunAsInit(Command main, InitOptions options = {});

// The exit code by which shells and container runtimes tell an end: the code itself, 128 + n for signal n; 127
// for a program that was not found, 126 for what did not start otherwise.
int ShellExitCode(const absl::StatusOr<ExitStatus>& status);

}  // namespace ko

#endif  // KO_PROCESS_INIT_H_
