#ifndef KO_PROCESS_CHILD_MAKER_H_
#define KO_PROCESS_CHILD_MAKER_H_

#include <utility>

#include "ko/process/child.h"

namespace ko {

// How the starters of this folder make a Child of a process that they have just started.
class ChildMaker {
 public:
  using ReportReader = Child::ReportReader;
  static Child Make(pid_t pid, os::UniqueFd pidfd, ReportReader report = nullptr) {
    return Child(pid, std::move(pidfd), std::move(report));
  }
  static void SetStdio(Child& child, int index, os::UniqueFd fd) { child.stdio_[index] = std::move(fd); }
};

}  // namespace ko

#endif  // KO_PROCESS_CHILD_MAKER_H_
