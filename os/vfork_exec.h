#ifndef KO_OS_VFORK_EXEC_H_
#define KO_OS_VFORK_EXEC_H_

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <csignal>
#include <string>
#include <variant>

#include "absl/types/span.h"
#include "ko/os/start_failure.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

struct ResourceLimit {
  int resource;
  rlimit limit;
};

// A descriptor of this process's and the number, 3 or more, that it has in the program. `source` is the child's
// to change.
struct PassedFd {
  int source;
  int target;
};

// Who a program runs as, for real, effective and saved ids alike.
struct UserChange {
  uid_t uid;
  gid_t gid;
  bool sets_groups;
  absl::Span<const gid_t> groups;
};

// All that a child needs to become another program, made ready beforehand: it runs in this process's memory
// and may allocate nothing. Null pointers and -1 mean "leave as it is".
struct ExecPlan {
  absl::Span<const char* const> program_paths;  // tried one after the other, as execvp(3) does
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* working_directory = nullptr;
  int stdio[3] = {-1, -1, -1};  // become descriptors 0, 1, 2; each is 3 or more
  absl::Span<PassedFd> fds;     // by ascending target
  char* own_pid = nullptr;      // room for the decimal digits of the child's pid and a NUL, in envp say
  absl::Span<const ResourceLimit> limits;
  const int* nice = nullptr;
  const cpu_set_t* cpus = nullptr;
  size_t cpus_bytes = 0;
  const UserChange* user = nullptr;
  int umask = -1;
  bool new_session = false;
  bool new_process_group = false;
  bool die_with_parent = false;
  bool no_new_privs = false;
  const sigset_t* signal_mask = nullptr;
};

struct ExecedProcess {
  pid_t pid;
  UniqueFd pidfd;
};

// Starts the program in a child that shares this process's memory until it has become the program (CLONE_VM
// and CLONE_VFORK), so that nothing is copied and a failure is known here. A failed child is reaped. Every
// descriptor above 2 but the targets of `fds` is closed on exec.
//
// One that changes its user gets a copy of the memory instead: the other user must not have a process that
// could be made to write into this one, and the kernel marks memory whose user has changed (PR_SET_DUMPABLE),
// for all who share it.
std::variant<ExecedProcess, StartFailure> VforkExec(const ExecPlan& plan);

}  // namespace ko::os

#endif  // KO_OS_VFORK_EXEC_H_
