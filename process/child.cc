#include "ko/process/child.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/signal_number.h"

namespace ko {
namespace {

// How long a process may take to die of SIGKILL before Stop says so.
constexpr absl::Duration kKillTimeout = absl::Seconds(10);

ExitStatus ToExitStatus(const os::ChildEnd& end) {
  switch (end.kind) {
    case os::ChildEnd::Kind::kExited:
      return ExitStatus::Exited(end.value);
    case os::ChildEnd::Kind::kSignaled:
      return ExitStatus::Signaled(end.value, end.core_dumped);
    case os::ChildEnd::Kind::kUnknown:
      break;
  }
  return ExitStatus::Unknown();
}

ResourceUsage ToResourceUsage(const rusage& usage) {
  return {absl::DurationFromTimeval(usage.ru_utime), absl::DurationFromTimeval(usage.ru_stime),
          int64_t{usage.ru_maxrss} * 1024};
}

}  // namespace

Child::Child(pid_t pid, os::UniqueFd pidfd, ReportReader report)
    : pid_(pid), owner_(::getpid()), pidfd_(std::move(pidfd)), report_(std::move(report)) {}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      owner_(other.owner_),
      pidfd_(std::move(other.pidfd_)),
      report_(std::move(other.report_)),
      stdio_{std::move(other.stdio_[0]), std::move(other.stdio_[1]), std::move(other.stdio_[2])},
      status_(std::exchange(other.status_, std::nullopt)),
      usage_(std::exchange(other.usage_, {})) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  pid_ = std::exchange(other.pid_, 0);
  owner_ = other.owner_;
  pidfd_ = std::move(other.pidfd_);
  report_ = std::move(other.report_);
  for (int i = 0; i < 3; ++i) stdio_[i] = std::move(other.stdio_[i]);
  status_ = std::exchange(other.status_, std::nullopt);
  usage_ = std::exchange(other.usage_, {});
  return *this;
}

Child::~Child() { Abandon(); }

// A child nobody will wait for any more: ended here and now, by the process that owns it and by no forked
// copy of it.
void Child::Abandon() {
  if (status_.has_value() || !IsUsable()) return;
  os::SendSignal(pidfd_.get(), SIGKILL);
  Reap(/*block=*/true).IgnoreError();
}

bool Child::IsUsable() const { return pidfd_.valid() && owner_ == ::getpid(); }

absl::Status Child::CheckUsable() const {
  if (IsUsable()) return absl::OkStatus();
  if (!pidfd_.valid()) return absl::FailedPreconditionError("Child: moved-from, it owns no process");
  return absl::FailedPreconditionError(absl::StrCat("Child: pid ", pid_, " is a child of process ", owner_,
                                                    ", this is a copy that was forked with it"));
}

absl::StatusOr<std::optional<ExitStatus>> Child::Reap(bool block) {
  absl::StatusOr<std::optional<os::ChildEnd>> end = os::Reap(pidfd_.get(), block);
  if (!end.ok()) return end.status();
  if (!end->has_value()) return std::nullopt;
  ExitStatus status = ToExitStatus(**end);
  if (!status.ok() && report_ != nullptr) status = report_(std::move(status));
  report_ = nullptr;
  status_ = std::move(status);
  usage_ = ToResourceUsage((*end)->usage);
  return status_;
}

absl::StatusOr<ExitStatus> Child::Wait(absl::Duration timeout) {
  if (status_.has_value()) return *status_;
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  if (timeout != absl::InfiniteDuration()) {
    absl::StatusOr<bool> ended = os::AwaitEnd(pidfd_.get(), os::Deadline::After(timeout));
    if (!ended.ok()) return ended.status();
    if (!*ended) {
      return absl::DeadlineExceededError(
          absl::StrCat("wait(pid ", pid_, "): still running after ", absl::FormatDuration(timeout)));
    }
  }
  absl::StatusOr<std::optional<ExitStatus>> status = Reap(/*block=*/true);
  if (!status.ok()) return status.status();
  return **status;
}

std::optional<ExitStatus> Child::TryWait() {
  if (status_.has_value()) return status_;
  if (!IsUsable()) return std::nullopt;
  absl::StatusOr<std::optional<ExitStatus>> status = Reap(/*block=*/false);
  return status.ok() ? *status : std::nullopt;
}

absl::Status Child::Kill(int signo) {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  if (!os::IsSignalNumber(signo)) {
    return absl::InvalidArgumentError(absl::StrCat("kill(pid ", pid_, "): ", signo, " is no signal"));
  }
  if (status_.has_value()) return absl::OkStatus();
  const int error_number = os::SendSignal(pidfd_.get(), signo);
  if (error_number == 0 || error_number == ESRCH) return absl::OkStatus();
  return os::ErrnoStatus(error_number, "kill", absl::StrCat("pid ", pid_, ", ", SignalName(signo)));
}

absl::StatusOr<ExitStatus> Child::Stop(StopPolicy policy) {
  if (status_.has_value()) return *status_;
  if (absl::Status sent = Kill(policy.signal); !sent.ok()) return sent;
  if (absl::Status sent = Kill(SIGCONT); !sent.ok()) return sent;
  absl::StatusOr<ExitStatus> status = Wait(policy.grace);
  if (!absl::IsDeadlineExceeded(status.status())) return status;
  if (absl::Status sent = Kill(SIGKILL); !sent.ok()) return sent;
  return Wait(kKillTimeout);
}

}  // namespace ko
