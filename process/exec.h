#ifndef KO_PROCESS_EXEC_H_
#define KO_PROCESS_EXEC_H_

#include <variant>

#include "absl/status/statusor.h"
#include "ko/process/child.h"
#include "ko/process/command.h"
#include "ko/process/exit_status.h"

namespace ko {

// Starts another program as a child. Nothing of this process's memory is copied (CLONE_VFORK), so the price
// does not depend on its size; only a command that changes its user gets a copy (see DESIGN.md). Returns when the program runs: a program that cannot be executed is the error
// returned here, not an exit code.
//
// The program inherits the three standard streams and, beside the ones that the command lists, no other
// descriptor, the signal mask and ignored
// signals of this process, and no handler.
//
// Threads: any, also in a threaded program (this thread sleeps until the program runs). Fork: none. Signals:
// blocked meanwhile. Crash: the child outlives this process unless die_with_parent is set. Errors:
// InvalidArgument (no argv, an empty program name, a NUL byte in a string, a bad limit, numbers of descriptors
// that collide, and so on for each field); NotFound for a user or group that does not exist; what open(2),
// chdir(2), setrlimit(2), setresuid(2), execve(2) and so on list, with the stage and the object in the message:
// NotFound for no such program or folder, PermissionDenied, ResourceExhausted (fds), Unavailable (EAGAIN). Then there is no
// child.
absl::StatusOr<Child> Exec(const Command& command);

// The same for supervisors, to which a start that failed is one of the ways in which a process can end: the
// Child, or an ExitStatus::NotStarted, whose ToStatus() is what Exec would have returned.
std::variant<Child, ExitStatus> TryExec(const Command& command);

}  // namespace ko

#endif  // KO_PROCESS_EXEC_H_
