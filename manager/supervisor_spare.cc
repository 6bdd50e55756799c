#include <csignal>
#include <optional>
#include <utility>

#include "ko/manager/spare_turn.h"
#include "ko/manager/supervisor.h"
#include "ko/os/deadline.h"

// How a Supervisor keeps hot spares (RestartPolicy::hot_spare).

namespace ko {
namespace {

SpareTurn TurnOf(Attempt& spare) { return SpareTurn(spare.control->turn); }

}  // namespace

// Where there is none to be had the next start does without.
void Supervisor::KeepSpare(const RecordPtr& record) {
  if (!KeepsSpare(*record) || record->finishing || shutting_down_ || record->spec.command != nullptr ||
      record->state != ProcessRecord::State::kRunning || record->Find(Attempt::Role::kSpare) != nullptr) {
    return;
  }
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
  Begin(record, *record->Find(Attempt::Role::kSpare), Attempt::Role::kCurrent);
  // What it has had to say since it began by itself has been heard from nobody.
  if (record->spec.body->takes_self()) kernel_->bell.Notify();
  return true;
}

// With leave to begin as soon as the current attempt ends, where it is certain by now what the end would lead to: the manager
// has nothing to decide then, nothing to clean up, and no turns of others to mind.
void Supervisor::GiveLeave(const ProcessRecord& record, Outfit& spare) {
  if (record.group != nullptr || record.region != nullptr || TargetOf(record) != StopTarget::kProcess) return;
  const Attempt* const current = record.current();
  if (current == nullptr || !record.restart->IsSureToRestartAtOnce(os::MonotonicNow())) return;
  spare.followed = current;
  SpareTurn(spare.control->turn).GiveLeave(record.attempt + 1);
}

bool Supervisor::SpareHasBegun(const ProcessRecord& record) {
  Attempt* const spare = record.Find(Attempt::Role::kSpare);
  return spare != nullptr && TurnOf(*spare).HasBegun();
}

// From here on the spare does not begin by itself. Where it has, the one that it followed is as good as gone, and its end is
// handled first.
void Supervisor::HoldBackSpare(const RecordPtr& record) {
  for (Attempt* spare; (spare = record->Find(Attempt::Role::kSpare)) != nullptr;) {
    if (!TurnOf(*spare).TakeLeaveBack() || !EndFollowed(record)) return;
  }
}

// The end of the current attempt, which the spare has seen. False where the process does not get done with it.
bool Supervisor::EndFollowed(const RecordPtr& record) {
  constexpr absl::Duration kLongestEnd = absl::Seconds(10);
  Attempt* const current = record->current();
  if (current == nullptr) return false;
  absl::StatusOr<ExitStatus> status = current->child.Wait(kLongestEnd);
  if (!status.ok()) return false;
  OnAttemptEnd(record, *current, *std::move(status));
  RingForUntold();
  return true;
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
