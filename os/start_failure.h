#ifndef KO_OS_START_FAILURE_H_
#define KO_OS_START_FAILURE_H_

namespace ko::os {

// Why a process could not be started: the step that failed ("fork", "execve", "chdir", ...) and its errno.
struct StartFailure {
  const char* stage;
  int error_number;
};

}  // namespace ko::os

#endif  // KO_OS_START_FAILURE_H_
