#include <csignal>
#include <optional>
#include <utility>

#include "ko/manager/spare_turn.h"
#include "ko/manager/supervisor.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"

// How a Supervisor keeps hot spares (RestartPolicy::hot_spare).

namespace ko {
namespace {

SpareTurn TurnOf(Attempt& spare) { return SpareTurn(spare.control->turn); }

}  // namespace

// Where there is none to be had the next start does without.
void Supervisor::KeepSpare(const RecordPtr& record) {
  if (!KeepsSpare(*record) || record->finishing || record->asked_to_end || shutting_down_ ||
      record->spec.command != nullptr || record->state != ProcessRecord::State::kRunning ||
      record->Find(Attempt::Role::kSpare) != nullptr) {
    return;
  }
  if (!os::CheckFutexWaitv().ok()) return;  // by which it sleeps
  StartAttempt(record, Attempt::Role::kSpare);
}

// Ahead of all else about the end of the one that it replaces, where that makes no difference to what is done: the spare runs
// meanwhile. What is decided for the restart is for OnCurrentEnd, then.
std::optional<RestartTracker::Decision> Supervisor::LetSpareBegin(const RecordPtr& record,
                                                                  const Attempt& ended,
                                                                  const ExitStatus& status) {
  const bool is_plain = ended.role == Attempt::Role::kCurrent && !ended.to_restart &&
                        !record->replacement.has_value() &&
                        record->Find(Attempt::Role::kSuccessor) == nullptr;
  if (!is_plain || record->Find(Attempt::Role::kSpare) == nullptr) return std::nullopt;
  if (record->group != nullptr && !groups_.MayStartAtOnce(*record)) return std::nullopt;
  const RestartTracker::Decision decision =
      DecideRestart(record, status, os::MonotonicNow() - ended.started_at);
  if (decision.action == RestartTracker::Action::kRestart && decision.delay <= absl::ZeroDuration()) {
    GiveTurn(record);
  }
  return decision;
}

// Whether there is a spare that has, or is given, its turn.
bool Supervisor::GiveTurn(const RecordPtr& record) {
  Attempt* const spare = record->Find(Attempt::Role::kSpare);
  if (spare == nullptr) return false;
  if (TurnOf(*spare).TakeLeaveBack()) return true;
  if (std::optional<ExitStatus> killed = spare->child.TryWait()) {
    Reap(*record, *spare, *std::move(killed));
    return false;
  }
  TurnOf(*spare).Begin(record->attempt + 1);
  return true;
}

bool Supervisor::UseSpare(const RecordPtr& record) {
  if (!GiveTurn(record)) return false;
  Attempt& spare = *record->Find(Attempt::Role::kSpare);
  Number(*record, spare, Attempt::Role::kCurrent);
  Begin(record, spare);
  // What it has had to say since it began by itself has been heard from nobody.
  if (record->spec.body->takes_self()) kernel_->bell.Notify();
  return true;
}

// With leave to begin as soon as the current attempt ends, where it is certain by now what the end would lead to: the manager
// has nothing to decide then, nothing to clean up, and no turns of others to mind. The one that it follows, or null.
const Attempt* Supervisor::GiveLeave(const ProcessRecord& record, const Attempt& spare) {
  const bool is_plain =
      record.group == nullptr && record.region == nullptr && TargetOf(record) == StopTarget::kProcess;
  const Attempt* const current = record.current();
  if (!is_plain || current == nullptr || !record.restart->IsSureToRestartAtOnce(os::MonotonicNow())) {
    return nullptr;
  }
  SpareTurn(spare.control->turn).GiveLeave(record.attempt + 1);
  return current;
}

// Whether it has begun by itself. Where it has not, it will not from here on.
bool Supervisor::HasSpareBegun(const ProcessRecord& record) {
  Attempt* const spare = record.Find(Attempt::Role::kSpare);
  return spare != nullptr && TurnOf(*spare).TakeLeaveBack();
}

// The spare has begun, so the current attempt is on its way out: its end is handled ahead of its time.
void Supervisor::EndFollowed(const RecordPtr& record) {
  // Of some that are very large, or that close a file on a machine that is gone, nobody waits for the end.
  constexpr absl::Duration kLongestEnd = absl::Seconds(1);
  Attempt* const current = record->current();
  if (current == nullptr) return;
  if (absl::StatusOr<ExitStatus> status = current->child.Wait(kLongestEnd); status.ok()) {
    OnAttemptEnd(record, *current, *std::move(status));
  } else {
    DecideRestart(record, ExitStatus::Unknown(), os::MonotonicNow() - current->started_at);  // it counts
    current->role = Attempt::Role::kRetiring;
    UseSpare(record);
    Tell(*record, record->current(), ProcessEvent::Kind::kReplaced);
  }
  RingForUntold();
}

// It has run nothing, so there is nothing to tell.
void Supervisor::DropSpare(ProcessRecord& record) {
  Attempt* const spare = record.Find(Attempt::Role::kSpare);
  if (spare == nullptr) return;
  ExitStatus status =
      spare->child.Stop({.signal = SIGKILL, .grace = absl::ZeroDuration()}).value_or(ExitStatus::Unknown());
  Reap(record, *spare, std::move(status));
}

}  // namespace ko
