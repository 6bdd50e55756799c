#ifndef KO_OS_VFORK_EXEC_H_
#define KO_OS_VFORK_EXEC_H_

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

// All that a child needs to become another program, made ready beforehand: it runs in this process's memory
// and may allocate nothing. Null pointers and -1 mean "leave as it is".
struct ExecPlan {
  absl::Span<const char* const> program_paths;  // tried one after the other, as execvp(3) does
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* working_directory = nullptr;
  int stdio[3] = {-1, -1, -1};  // become descriptors 0, 1, 2; each is 3 or more
  absl::Span<const ResourceLimit> limits;
  int umask = -1;
  bool new_session = false;
  bool new_process_group = false;
  bool die_with_parent = false;
};

struct ExecedProcess {
  pid_t pid;
  UniqueFd pidfd;
};

// Starts the program in a child that shares this process's memory until it has become the program (CLONE_VM
// and CLONE_VFORK), so that nothing is copied and a failure is known here. A failed child is reaped. Every
// descriptor above 2 is closed on exec.
std::variant<ExecedProcess, StartFailure> VforkExec(const ExecPlan& plan);

}  // namespace ko::os

#endif  // KO_OS_VFORK_EXEC_H_
