#include "ko/process/fork.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>
#include <variant>

#include "absl/base/config.h"
#include "ko/os/fork.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/signal_mask.h"
#include "ko/os/threads.h"
#include "ko/process/child_maker.h"
#include "ko/process/child_report.h"
#include "ko/process/exception_status.h"
#include "ko/process/flush_output.h"

namespace ko {
namespace {

constexpr int kStartFailedCode = 127;

// The child's whole life, in the order in which it happens. It never returns.
class ForkedChild {
 public:
  ForkedChild(ChildBody& body, ForkOptions& options, ChildReport& report, pid_t parent, const sigset_t& mask)
      : body_(body), options_(options), report_(report), parent_(parent), mask_(mask) {}

  [[noreturn]] void Live() {
    DieWithParent();
    LeaveParentsExitHandlersAlone();
    os::ResetSignalHandlers();
    SetUp();
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    End(RunBody());
  }

 private:
  void DieWithParent() {
    if (!options_.die_with_parent) return;
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) FailStart("prctl(PR_SET_PDEATHSIG)", errno);
    if (::getppid() != parent_) ::_exit(kStartFailedCode);  // it died before the line above
  }

  // exit() runs what was registered with atexit in reverse order, so this one, the first of the child's own,
  // comes after the child's others and before the parent's, and ends the process there.
  void LeaveParentsExitHandlersAlone() {
    const auto leave = [](int code, void*) {
      FlushOutput();
      ::_exit(code);
    };
    if (::on_exit(leave, nullptr) != 0) FailStart("on_exit", ENOMEM);
  }

  void SetUp() {
    if (options_.setup == nullptr) return;
    const BodyResult result = Guarded([this] { return BodyResult::FromStatus(options_.setup()); });
    if (!result.reason.ok()) End(result);
  }

  BodyResult RunBody() {
    return Guarded([this] {
      ChildBody body =
          std::move(body_);  // what it captured is destroyed as it ends: a file stream, say, is flushed
      return body();
    });
  }

  template <class Run>
  static BodyResult Guarded(Run run) {
#ifdef ABSL_HAVE_EXCEPTIONS
    try {
      return run();
    } catch (...) {
      return BodyResult::FromStatus(StatusOfCurrentException());
    }
#else
    return run();
#endif
  }

  [[noreturn]] void FailStart(const char* stage, int error_number) {
    report_.StartFailed(stage, error_number);
    ::_exit(kStartFailedCode);
  }

  [[noreturn]] void End(const BodyResult& result) {
    if (!result.reason.ok()) report_.BodyFailed(result.reason);
    FlushOutput();
    ::_exit(result.exit_code);
  }

  ChildBody& body_;
  ForkOptions& options_;
  ChildReport& report_;
  const pid_t parent_;
  const sigset_t& mask_;
};

}  // namespace

std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options) {
  if (!body) {
    return ExitStatus::NotStarted(EINVAL, "fork")
        .WithReason(absl::InvalidArgumentError("Fork: the body is empty"));
  }
  if (!options.allow_threads && os::HasOtherThreads()) {
    return ExitStatus::NotStarted(EDEADLK, "fork")
        .WithReason(absl::FailedPreconditionError("Fork: this process has other threads, whose locks would "
                                                  "stay locked in the child; fork before they are "
                                                  "started, or set ForkOptions::allow_threads"));
  }
  absl::StatusOr<os::SharedMapping> report = os::SharedMapping::Create(ChildReport::kBytes);
  if (!report.ok()) return ExitStatus::NotStarted(ENOMEM, "mmap").WithReason(report.status());

  FlushOutput();
  const pid_t parent = ::getpid();
  std::variant<os::ForkedProcess, os::StartFailure> forked;
  {
    os::ScopedAllSignalsBlocked blocked;
    forked = os::ForkWithPidfd();
    if (const auto* process = std::get_if<os::ForkedProcess>(&forked);
        process != nullptr && process->pid == 0) {
      auto& page = *static_cast<ChildReport*>(report->data());
      ForkedChild(body, options, page, parent, blocked.previous()).Live();
    }
  }
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) {
    return ExitStatus::NotStarted(failure->error_number, failure->stage);
  }
  report->KeepFromNewChildren();
  auto& process = std::get<os::ForkedProcess>(forked);
  return ChildMaker::Make(process.pid, std::move(process.pidfd), *std::move(report));
}

absl::StatusOr<Child> Fork(ChildBody body, ForkOptions options) {
  std::variant<Child, ExitStatus> result = TryFork(std::move(body), std::move(options));
  if (const auto* status = std::get_if<ExitStatus>(&result)) return status->ToStatus();
  return std::get<Child>(std::move(result));
}

}  // namespace ko
