#ifndef KO_PROCESS_EXIT_STATUS_H_
#define KO_PROCESS_EXIT_STATUS_H_

#include <optional>
#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace ko {

// How a process ended: it exited with a code, a signal killed it, or it never started. A value.
//
//   if (std::optional<int> signo = status.term_signal(); signo == SIGKILL) ...
//   if (!status.ok()) LOG(ERROR) << status.ToString();   // "killed by SIGKILL"
//
// Threads: as an int. Fork: copied. Signals: none. Crash: none. Errors: none.
class ExitStatus {
 public:
  // The kernel keeps the low 8 bits of an exit code: Exited(-1) is Exited(255).
  static ExitStatus Exited(int code);
  static ExitStatus Signaled(int signo, bool core_dumped = false);
  // `stage` names what failed with `error_number`: "fork", say.
  static ExitStatus NotStarted(int error_number, std::string stage = {});
  // It has ended, but other code in this process took the status first (waitpid(-1), SIGCHLD ignored) and the
  // kernel (before Linux 6.15) does not tell it twice.
  static ExitStatus Unknown();

  // The same end with the reason that the body itself gave: the status it returned, or the exception that
  // escaped it.
  ExitStatus WithReason(absl::Status reason) const;

  // The same end with the last lines of what the process printed, for the messages.
  ExitStatus WithLastOutput(std::string lines) const;

  bool ok() const { return kind_ == Kind::kExited && value_ == 0; }
  std::optional<int> exit_code() const;    // where it exited
  std::optional<int> term_signal() const;  // where a signal killed it
  std::optional<int> start_error() const;  // the errno, where it never started
  bool core_dumped() const { return core_dumped_; }

  // OkStatus for exit code 0. Else the status or exception that ended the body, where there was one (its code
  // and message); else Aborted for a signal, Unavailable (or the errno's own code) for one that never
  // started, and Unknown for an exit code, with ToString() as the message.
  absl::Status ToStatus() const;
  // "exited with code 3", "killed by SIGSEGV (core dumped)", "not started: fork: Cannot allocate memory
  // [ENOMEM]", followed by ": " and the reason's message where there is one, and by "; last output:" and the
  // lines, each in a line of its own, where there are any.
  std::string ToString() const;

  // Neither the reason nor the output is compared.
  friend bool operator==(const ExitStatus& a, const ExitStatus& b) {
    return a.kind_ == b.kind_ && a.value_ == b.value_ && a.core_dumped_ == b.core_dumped_;
  }
  friend std::ostream& operator<<(std::ostream& os, const ExitStatus& status) {
    return os << status.ToString();
  }

 private:
  enum class Kind : unsigned char { kExited, kSignaled, kNotStarted, kUnknown };
  ExitStatus(Kind kind, int value, bool core_dumped)
      : value_(value), kind_(kind), core_dumped_(core_dumped) {}

  int value_;
  Kind kind_;
  bool core_dumped_;
  absl::Status reason_;
  std::string stage_;
  std::string last_output_;
};

// "SIGTERM", "SIGRTMIN+3", or "signal 99" for a number that is none.
std::string SignalName(int signo);

}  // namespace ko

#endif  // KO_PROCESS_EXIT_STATUS_H_
