#ifndef KO_PROCESS_CHILD_H_
#define KO_PROCESS_CHILD_H_

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/os/pidfd.h"
#include "ko/os/unique_fd.h"
#include "ko/process/exit_status.h"
#include "ko/process/stop_policy.h"

namespace ko {

// What a reaped child used, its own reaped children included (getrusage(2), RUSAGE_BOTH).
struct ResourceUsage {
  absl::Duration user_time;
  absl::Duration system_time;
  int64_t max_rss_bytes = 0;
};

// Owns one child process, by pidfd: it cannot be mistaken for a later process with the same pid.
//
//   absl::StatusOr<ko::Child> child = ko::Fork([] { return Work(); });
//   if (!child.ok()) return child.status();
//   absl::StatusOr<ko::ExitStatus> status = child->Wait(absl::Seconds(5));
//
// Only this child is ever waited for, so a Child lives beside any other code that has children of its own; no
// SIGCHLD handler is installed or needed.
//
// Destruction: a child that still runs is killed (SIGKILL) and reaped, so that nothing is left behind; call
// Wait or Stop first to let it end. The copy of a Child that a forked process inherits does nothing when it
// is destroyed. Threads: one at a time. Fork: only the process that made it can wait and kill; elsewhere
// FailedPrecondition. Signals: calls go on after a signal (EINTR); handlers run. Crash: children outlive the
// parent unless they were started with die_with_parent. Errors: FailedPrecondition for a moved-from one and
// outside the parent; others are listed below.
class Child {
 public:
  Child() = default;  // as one that was moved from
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  // 0 and -1 for a moved-from one. The pid stays readable after the end, the pidfd until destruction.
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }

  // Sleeps until the child has ended, and reaps it; answers at once, as often as asked, when it has been
  // reaped. Errors: DeadlineExceeded when `timeout` is over (the child goes on).
  absl::StatusOr<ExitStatus> Wait(absl::Duration timeout = absl::InfiniteDuration());

  // The same without sleeping: empty while the child runs (and for a moved-from Child, and outside the
  // parent).
  std::optional<ExitStatus> TryWait();

  // Sends a signal; nothing happens to a child that has ended. Errors: InvalidArgument for a number that is
  // no signal; PermissionDenied where the child has changed its user.
  absl::Status Kill(int signo = SIGTERM);

  // The policy's signal (and SIGCONT, so that a stopped child hears it), the grace time, then SIGKILL; reaps.
  // Errors: DeadlineExceeded where even SIGKILL takes more than 10 s (a process stuck in the kernel).
  absl::StatusOr<ExitStatus> Stop(StopPolicy policy = {});

  // Zeros until it has been reaped.
  const ResourceUsage& usage() const { return usage_; }

  // Of a command started with Stdio::Pipe(): our end of its standard input, output and error; -1 elsewhere.
  int stdin_fd() const { return stdio_[0].get(); }
  int stdout_fd() const { return stdio_[1].get(); }
  int stderr_fd() const { return stdio_[2].get(); }
  void CloseStdin() { stdio_[0].reset(); }  // the command reads end-of-file
  // Hands our end of its output on, to whoever reads it (see output_drain.h); an invalid one where there is none.
  os::UniqueFd TakeStdout() { return std::move(stdio_[1]); }
  os::UniqueFd TakeStderr() { return std::move(stdio_[2]); }

 private:
  friend class ChildMaker;
  // Adds to the status of a process that failed what it has left word of; called at most once.
  using ReportReader = absl::AnyInvocable<ExitStatus(ExitStatus)>;

  Child(pid_t pid, os::UniqueFd pidfd, ReportReader report);

  absl::StatusOr<std::optional<ExitStatus>> Reap(bool block);
  bool IsUsable() const;
  absl::Status CheckUsable() const;
  void Abandon();

  pid_t pid_ = 0;
  pid_t owner_ = 0;
  os::UniqueFd pidfd_;
  ReportReader report_;  // none for a command
  os::UniqueFd stdio_[3];
  std::optional<ExitStatus> status_;
  ResourceUsage usage_;
};

}  // namespace ko

#endif  // KO_PROCESS_CHILD_H_
