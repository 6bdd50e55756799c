#ifndef KO_OS_FORK_H_
#define KO_OS_FORK_H_

#include <sys/types.h>

#include <variant>

#include "ko/os/start_failure.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

struct ForkedProcess {
  pid_t pid;       // 0 in the child
  UniqueFd pidfd;  // in the parent
};

// fork(2) by the C library, so that its own at-fork work and everybody's pthread_atfork handlers are done,
// with a pidfd for the child. Where there is no fd for that the child does not get to return from here: there
// is a child or an error, never both. Errors: as fork(2) and pidfd_open(2).
std::variant<ForkedProcess, StartFailure> ForkWithPidfd();

}  // namespace ko::os

#endif  // KO_OS_FORK_H_
