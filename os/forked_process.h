#ifndef KO_OS_FORKED_PROCESS_H_
#define KO_OS_FORKED_PROCESS_H_

#include <sys/types.h>

#include "ko/os/unique_fd.h"

namespace ko::os {

// What a fork returns in each of the two processes.
struct ForkedProcess {
  pid_t pid;       // 0 in the child
  UniqueFd pidfd;  // in the parent
};

}  // namespace ko::os

#endif  // KO_OS_FORKED_PROCESS_H_
