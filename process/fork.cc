#include "ko/process/fork.h"

#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <variant>

#include "ko/os/fork.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/signal_mask.h"
#include "ko/os/threads.h"
#include "ko/process/child_maker.h"
#include "ko/process/child_report.h"
#include "ko/process/flush_output.h"
#include "ko/process/fork_hooks_run.h"
#include "ko/process/forked_child.h"

namespace ko {
namespace {

// Reads what the child wrote to the page that it shared with this process.
ChildMaker::ReportReader ReaderOf(os::SharedMapping report) {
  return [report = std::move(report)](ExitStatus status) {
    return static_cast<const ChildReport*>(report.data())->Complete(std::move(status));
  };
}

ExitStatus Refusal(std::string_view why) {
  return ExitStatus::NotStarted(EDEADLK, "fork").WithReason(absl::FailedPreconditionError(why));
}

}  // namespace

std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options) {
  if (!body) {
    return ExitStatus::NotStarted(EINVAL, "fork")
        .WithReason(absl::InvalidArgumentError("Fork: the body is empty"));
  }
  if (ForkHooksRun::IsRunningOnThisThread()) {
    return Refusal("Fork: called by a ForkHook, which must not fork");
  }
  ForkHooksRun hooks;
  if (!options.allow_threads && os::HasOtherThreads()) {
    return Refusal(
        "Fork: this process has other threads, whose locks would stay locked in the child; fork before they "
        "are started, stop them meanwhile (ForkHook), let a ForkServer fork, Exec a program instead, or, "
        "where the body locks nothing of theirs, set ForkOptions::allow_threads");
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
      os::ResetSignalHandlers();
      ForkedChild child(*static_cast<ChildReport*>(report->data()));
      child.LeaveParentsExitHandlersAlone();
      ForkedChild::Task task{.body = std::move(body),
                             .hooks = &hooks,
                             .setup = std::move(options.setup),
                             .die_with_parent = options.die_with_parent,
                             .parent = parent,
                             .mask = blocked.previous()};
      child.Live(task);
    }
  }
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) {
    return ExitStatus::NotStarted(failure->error_number, failure->stage);
  }
  report->KeepFromNewChildren();
  auto& process = std::get<os::ForkedProcess>(forked);
  return ChildMaker::Make(process.pid, std::move(process.pidfd), ReaderOf(*std::move(report)));
}

absl::StatusOr<Child> Fork(ChildBody body, ForkOptions options) {
  std::variant<Child, ExitStatus> result = TryFork(std::move(body), std::move(options));
  if (const auto* status = std::get_if<ExitStatus>(&result)) return status->ToStatus();
  return std::get<Child>(std::move(result));
}

}  // namespace ko
