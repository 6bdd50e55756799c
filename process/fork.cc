#include "ko/process/fork.h"

#include <unistd.h>

#include <cerrno>
#include <optional>
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
#include "ko/process/report_slots.h"

namespace ko {
namespace {

// Where a child reports: in a page that it shares with this process alone, or in a slot.
class ReportRoom {
 public:
  static absl::StatusOr<ReportRoom> Create(ReportSlots* slots) {
    ReportRoom room;
    if (slots != nullptr) {
      absl::StatusOr<ReportSlot> slot = slots->Allocate();
      if (!slot.ok()) return slot.status();
      room.slot_.emplace(*std::move(slot));
    } else {
      absl::StatusOr<os::SharedMapping> page = os::SharedMapping::Create(ChildReport::kBytes);
      if (!page.ok()) return page.status();
      room.page_ = *std::move(page);
    }
    return room;
  }

  ForkedChild EnterChild() const {
    return slot_.has_value() ? ForkedChild(slot_->report(), &slot_->told())
                             : ForkedChild(*static_cast<ChildReport*>(page_.data()));
  }
  // Reads what the child has reported.
  ChildMaker::ReportReader TakeReader() && {
    if (slot_.has_value()) {
      return [slot = *std::move(slot_)](ExitStatus status) { return slot.Complete(std::move(status)); };
    }
    page_.KeepFromNewChildren();
    return [page = std::move(page_)](ExitStatus status) {
      return static_cast<const ChildReport*>(page.data())->Complete(std::move(status));
    };
  }

 private:
  os::SharedMapping page_;
  std::optional<ReportSlot> slot_;
};

ExitStatus Refusal(std::string_view why) {
  return ExitStatus::NotStarted(EDEADLK, "fork").WithReason(absl::FailedPreconditionError(why));
}

}  // namespace

std::variant<Child, ExitStatus> TryFork(ChildBody body, ForkOptions options, ReportSlots* slots) {
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
  absl::StatusOr<ReportRoom> report = ReportRoom::Create(slots);
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
      ForkedChild child = report->EnterChild();
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
  auto& process = std::get<os::ForkedProcess>(forked);
  return ChildMaker::Make(process.pid, std::move(process.pidfd), (*std::move(report)).TakeReader());
}

absl::StatusOr<Child> Fork(ChildBody body, ForkOptions options) {
  std::variant<Child, ExitStatus> result = TryFork(std::move(body), std::move(options));
  if (const auto* status = std::get_if<ExitStatus>(&result)) return status->ToStatus();
  return std::get<Child>(std::move(result));
}

}  // namespace ko
