#include "ko/process/fork.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

#include "ko/os/child_code.h"
#include "ko/os/fork.h"
#include "ko/os/fork_handlers.h"
#include "ko/os/signal_mask.h"
#include "ko/os/threads.h"
#include "ko/process/child_maker.h"
#include "ko/process/child_report.h"
#include "ko/process/flush_output.h"
#include "ko/process/fork_hooks_run.h"
#include "ko/process/forked_child.h"
#include "ko/process/report_slots.h"

namespace ko {
namespace {

ExitStatus Refusal(std::string_view why) {
  return ExitStatus::NotStarted(EDEADLK, "fork").WithReason(absl::FailedPreconditionError(why));
}

}  // namespace

KO_CHILD_CODE std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options,
                                                      ReportSlots* slots) {
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
  absl::StatusOr<ReportSlot> slot = slots != nullptr ? slots->Allocate() : ReportSlots::AllocateAlone();
  if (!slot.ok()) return ExitStatus::NotStarted(ENOMEM, "mmap").WithReason(slot.status());
  ChildReport& report = slot->report();
  std::atomic<uint32_t>& told = slot->told();
  // Made before the fork: what this process writes to while the child is there, it has to copy.
  ChildMaker::ReportReader reader = [slot = *std::move(slot)](ExitStatus status) {
    return slot.Complete(std::move(status));
  };

  FlushOutput();
  const pid_t parent = ::getpid();
  std::variant<os::ForkedProcess, os::StartFailure> forked;
  {
    os::ScopedAllSignalsBlocked blocked;
    forked = os::ForkWithPidfd(os::Handlers::kReset);
    if (const auto* process = std::get_if<os::ForkedProcess>(&forked);
        process != nullptr && process->pid == 0) {
      ForkedChild child(report, &told);
      child.LeaveParentsExitHandlersAlone();
      sigset_t mask = blocked.previous();
      os::LetInWhatWasHeldBack(mask);
      ForkedChild::Task task{.body = std::move(body),
                             .hooks = &hooks,
                             .setup = std::move(options.setup),
                             .die_with_parent = options.die_with_parent,
                             .parent = parent,
                             .mask = mask};
      child.Live(task);
    }
  }
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) {
    return ExitStatus::NotStarted(failure->error_number, failure->stage);
  }
  auto& process = std::get<os::ForkedProcess>(forked);
  return ChildMaker::Make(process.pid, std::move(process.pidfd), std::move(reader));
}

absl::StatusOr<Child> Fork(ChildBody body, ForkOptions options) {
  std::variant<Child, ExitStatus> result = TryFork(std::move(body), std::move(options));
  if (const auto* status = std::get_if<ExitStatus>(&result)) return status->ToStatus();
  return std::get<Child>(std::move(result));
}

}  // namespace ko
