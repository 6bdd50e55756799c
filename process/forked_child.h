#ifndef KO_PROCESS_FORKED_CHILD_H_
#define KO_PROCESS_FORKED_CHILD_H_

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "ko/process/child_body.h"
#include "ko/process/child_report.h"
#include "ko/process/fork_hooks_run.h"

namespace ko {

// The life of a forked child, which has no signal handler of its parent's any more: LeaveParentsExitHandlersAlone, then Live.
// All signals are blocked until Live lets them in.
class ForkedChild {
 public:
  struct Task {
    ChildBody body;
    ForkHooksRun* hooks = nullptr;  // to be finished before the set-up
    absl::AnyInvocable<absl::Status()> setup = nullptr;
    bool die_with_parent = false;
    pid_t parent = 0;
    sigset_t mask = {};  // the one for the body
  };

  // The report is to stay where it is for the process's whole life. `told`, where there is one, is set when something has
  // been reported.
  explicit ForkedChild(ChildReport& report, std::atomic<uint32_t>* told = nullptr)
      : report_(report), told_(told), pid_(::getpid()) {}

  void LeaveParentsExitHandlersAlone();

  [[noreturn]] void Live(Task& task);

 private:
  void DieWithParent(const Task& task);
  void SetUp(Task& task);
  BodyResult RunBody(Task& task);
  [[noreturn]] void FailStart(const char* stage, int error_number);
  [[noreturn]] void End(const BodyResult& result);
  void Tell();

  ChildReport& report_;
  std::atomic<uint32_t>* const told_;
  const pid_t pid_;
};

}  // namespace ko

#endif  // KO_PROCESS_FORKED_CHILD_H_
