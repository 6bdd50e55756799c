#include "ko/manager/process.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/manager/process_record.h"
#include "ko/manager/supervisor.h"
#include "ko/os/deadline.h"

namespace ko {
namespace {

using State = ProcessRecord::State;

absl::Status StillRunning(absl::Duration timeout, std::string_view what) {
  return absl::DeadlineExceededError(
      absl::StrCat("Process: ", what, " after ", absl::FormatDuration(timeout)));
}

absl::AnyInvocable<void(const ExitEvent&)> OfStatus(absl::AnyInvocable<void(const ExitStatus&)> handler) {
  return [handler = std::move(handler)](const ExitEvent& exit) mutable { handler(exit.status); };
}

}  // namespace

// Takes no hold of it: between a fork and the child's end that is a page to be copied.
absl::StatusOr<Supervisor*> Process::FindSupervisor() const {
  if (record_ == nullptr) return absl::FailedPreconditionError("Process: this handle is of no process");
  Supervisor* const supervisor = record_->FindSupervisor();
  if (supervisor == nullptr || supervisor->closed() || !supervisor->IsOwnedByThisProcess()) {
    return absl::FailedPreconditionError("Process: its manager is gone, or belongs to another process");
  }
  return supervisor;
}

absl::StatusOr<std::shared_ptr<Supervisor>> Process::GetSupervisor() const {
  const absl::StatusOr<Supervisor*> supervisor = FindSupervisor();
  if (!supervisor.ok()) return supervisor.status();
  return (*supervisor)->shared_from_this();
}

Process& Process::AddHandler(ProcessHandler handler) {
  // Without a manager no call will ever run it.
  if (absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor(); supervisor.ok()) {
    (*supervisor)->AddHandler(record_, std::move(handler));
  }
  return *this;
}

Process& Process::OnSuccess(absl::AnyInvocable<void()> handler) {
  return AddHandler({ProcessHandler::Event::kSuccess,
                     [handler = std::move(handler)](const ExitEvent&) mutable { handler(); }});
}

Process& Process::OnError(absl::AnyInvocable<void(const ExitStatus&)> handler) {
  return AddHandler({ProcessHandler::Event::kError, OfStatus(std::move(handler))});
}

Process& Process::OnExit(absl::AnyInvocable<void(const ExitStatus&)> handler) {
  return AddHandler({ProcessHandler::Event::kExit, OfStatus(std::move(handler))});
}

Process& Process::OnExitEvent(absl::AnyInvocable<void(const ExitEvent&)> handler) {
  return AddHandler({ProcessHandler::Event::kExit, std::move(handler)});
}

Process& Process::OnReady(absl::AnyInvocable<void()> handler) {
  return AddHandler({ProcessHandler::Event::kReady,
                     [handler = std::move(handler)](const ExitEvent&) mutable { handler(); }});
}

// Here and below: a handler may destroy this handle, and the manager.
absl::StatusOr<ExitStatus> Process::Wait(absl::Duration timeout) {
  std::shared_ptr<ProcessRecord> kept;
  const ProcessRecord* const record = record_.get();
  const absl::StatusOr<Supervisor*> supervisor = FindSupervisor();
  if (!supervisor.ok()) {
    if (record != nullptr && record->state == State::kEnded) return *record->status;
    return supervisor.status();
  }
  const auto ended = [&] { return record->state == State::kEnded; };
  const auto keep = [&] {
    if (kept == nullptr) kept = record_;
  };
  absl::StatusOr<bool> done = (*supervisor)->RunUntil(ended, os::Deadline::After(timeout), keep);
  if (ended()) return *record->status;
  if (!done.ok()) return done.status();
  return StillRunning(timeout, "still running");
}

absl::Status Process::WaitReady(absl::Duration timeout) {
  const std::shared_ptr<ProcessRecord> record = record_;
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return supervisor.status();
  // Between two attempts, it is the next one that is awaited.
  const Attempt* const current = record->current();
  const int attempt = current != nullptr ? current->number : record->attempt + 1;
  const auto ready = [&] { return record->last_ready_attempt >= attempt; };
  const auto ended = [&] {
    return record->state == State::kEnded || (record->attempt >= attempt && !record->Lives(attempt));
  };
  absl::StatusOr<bool> done =
      (*supervisor)->RunUntil([&] { return ready() || ended(); }, os::Deadline::After(timeout));
  if (ready()) return absl::OkStatus();
  if (!done.ok()) return done.status();
  if (!*done) return StillRunning(timeout, "not ready");
  return absl::AbortedError(absl::StrCat("Process: ended before it was ready: ",
                                         record->status.has_value() ? record->status->ToString() : ""));
}

bool Process::IsReady() const {
  return record_ != nullptr && record_->current() != nullptr && record_->current()->ready_at.has_value();
}

absl::Status Process::Kill(int signo) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) {
    return record_ != nullptr && record_->state == State::kEnded ? absl::OkStatus() : supervisor.status();
  }
  return (*supervisor)->Kill(*record_, signo);
}

absl::StatusOr<ExitStatus> Process::Stop(StopPolicy policy) {
  if (absl::Status valid = Supervisor::CheckSignal(policy.signal); !valid.ok()) return valid;
  if (absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor(); supervisor.ok()) {
    (*supervisor)->RequestStop(record_, StopPlan::From(policy));
  }
  return Wait();
}

absl::StatusOr<ExitStatus> Process::Stop() {
  if (absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor(); supervisor.ok()) {
    (*supervisor)->RequestStop(record_);
  }
  return Wait();
}

SharedMemory& Process::shared_memory() const {
  if (record_ != nullptr && record_->memory != nullptr) return record_->memory->Use();
  static SharedMemory none;
  return none;
}

const std::string& Process::name() const {
  static const std::string none;
  return record_ == nullptr ? none : record_->name();
}

pid_t Process::pid() const { return record_ == nullptr ? 0 : record_->pid(); }

bool Process::IsAlive() const { return record_ != nullptr && record_->state != State::kEnded; }

std::optional<ExitStatus> Process::exit_status() const {
  if (record_ == nullptr || record_->state == State::kRunning) return std::nullopt;
  return record_->status;
}

std::optional<ExitEvent> Process::exit_event() const {
  return exit_status().has_value() ? record_->exit : std::nullopt;
}

int Process::restarts() const { return record_ == nullptr ? 0 : std::max(record_->attempt - 1, 0); }

}  // namespace ko
