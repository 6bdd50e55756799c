#include "ko/process/exit_status.h"

#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko {

std::string SignalName(int signo) {
  if (signo >= SIGRTMIN && signo <= SIGRTMAX) {
    return signo == SIGRTMIN ? "SIGRTMIN" : absl::StrCat("SIGRTMIN+", signo - SIGRTMIN);
  }
  if (const char* name = ::sigabbrev_np(signo); name != nullptr) return absl::StrCat("SIG", name);
  return absl::StrCat("signal ", signo);
}

ExitStatus ExitStatus::Exited(int code) { return ExitStatus(Kind::kExited, code & 0xff, false); }

ExitStatus ExitStatus::Signaled(int signo, bool core_dumped) {
  return ExitStatus(Kind::kSignaled, signo, core_dumped);
}

ExitStatus ExitStatus::NotStarted(int error_number, std::string stage) {
  ExitStatus status(Kind::kNotStarted, error_number, false);
  status.stage_ = std::move(stage);
  return status;
}

ExitStatus ExitStatus::Unknown() { return ExitStatus(Kind::kUnknown, 0, false); }

ExitStatus ExitStatus::WithReason(absl::Status reason) const {
  ExitStatus result = *this;
  result.reason_ = std::move(reason);
  return result;
}

ExitStatus ExitStatus::WithLastOutput(std::string lines) const {
  ExitStatus result = *this;
  result.last_output_ = std::move(lines);
  return result;
}

std::optional<int> ExitStatus::exit_code() const {
  return kind_ == Kind::kExited ? std::optional<int>(value_) : std::nullopt;
}

std::optional<int> ExitStatus::term_signal() const {
  return kind_ == Kind::kSignaled ? std::optional<int>(value_) : std::nullopt;
}

std::optional<int> ExitStatus::start_error() const {
  return kind_ == Kind::kNotStarted ? std::optional<int>(value_) : std::nullopt;
}

namespace {

// Never OK, even for a number that is no errno.
absl::StatusCode StartErrorCode(int error_number) {
  if (error_number == EAGAIN) return absl::StatusCode::kUnavailable;
  const absl::StatusCode code = absl::ErrnoToStatusCode(error_number);
  return code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code;
}

}  // namespace

absl::Status ExitStatus::ToStatus() const {
  if (ok()) return absl::OkStatus();
  if (!reason_.ok()) return reason_;
  switch (kind_) {
    case Kind::kSignaled:
      return absl::AbortedError(ToString());
    case Kind::kNotStarted:
      return absl::Status(StartErrorCode(value_), ToString());
    case Kind::kExited:
    case Kind::kUnknown:
      break;
  }
  return absl::UnknownError(ToString());
}

std::string ExitStatus::ToString() const {
  std::string text;
  switch (kind_) {
    case Kind::kExited:
      text = absl::StrCat("exited with code ", value_);
      break;
    case Kind::kSignaled:
      text = absl::StrCat("killed by ", SignalName(value_), core_dumped_ ? " (core dumped)" : "");
      break;
    case Kind::kNotStarted:
      text = absl::StrCat("not started: ", stage_, stage_.empty() ? "" : ": ", os::ErrnoText(value_));
      break;
    case Kind::kUnknown:
      text = "ended, but its status was taken by other code";
      break;
  }
  if (!reason_.ok()) absl::StrAppend(&text, ": ", reason_.message());
  if (!last_output_.empty()) absl::StrAppend(&text, "; last output:\n", last_output_);
  return text;
}

}  // namespace ko
