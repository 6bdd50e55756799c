#include "ko/process/fork.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
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

// Here and below: not inlined, so that the frames between a fork and whoever asked for it are small. All of them have to be
// copied, page by page, when the parent returns.
[[gnu::noinline]] std::variant<Child, ExitStatus> Failure(int error_number, std::string_view stage,
                                                          absl::Status why) {
  return ExitStatus::NotStarted(error_number, std::string(stage)).WithReason(std::move(why));
}

std::variant<Child, ExitStatus> Refusal(std::string_view why) {
  return Failure(EDEADLK, "fork", absl::FailedPreconditionError(why));
}

struct Parent {
  pid_t pid;
  const sigset_t& mask;
};

[[noreturn, gnu::noinline]] KO_CHILD_CODE void LiveInChild(ChildReport& report, std::atomic<uint32_t>& told,
                                                           ChildBody& body, ForkOptions& options,
                                                           ForkHooksRun& hooks, const Parent& parent) {
  ForkedChild child(report, &told);
  child.LeaveParentsExitHandlersAlone();
  ForkedChild::Task task{.body = std::move(body),
                         .hooks = &hooks,
                         .setup = std::move(options.setup),
                         .die_with_parent = options.die_with_parent,
                         .parent = parent.pid,
                         .mask = parent.mask};
  os::LetInWhatWasHeldBack(task.mask);
  child.Live(task);
}

}  // namespace

KO_CHILD_CODE std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options,
                                                      ReportSlots* slots) {
  if (!body) {
    return Failure(EINVAL, "fork", absl::InvalidArgumentError("Fork: the body is empty"));
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
  if (!slot.ok()) return Failure(ENOMEM, "mmap", slot.status());
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
      LiveInChild(report, told, body, options, hooks, {parent, blocked.previous()});
    }
  }
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) {
    return Failure(failure->error_number, failure->stage, absl::OkStatus());
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
