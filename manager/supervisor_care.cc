#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/manager/supervisor.h"
#include "ko/os/child_code.h"
#include "ko/os/pidfd.h"
#include "ko/os/process_memory.h"
#include "ko/os/process_tree.h"
#include "ko/os/signal_number.h"

// How a Supervisor stops processes, watches over their lives, and replaces those that are well.

namespace ko {
namespace {

using Role = Attempt::Role;

// Between two tries to replace one that is well: where the policy's delays are none, it would be a fork after the other.
constexpr absl::Duration kLeastRecyclePause = absl::Milliseconds(100);

// It may be a zombie that has not been noticed yet.
bool HasEnded(const Attempt& attempt) {
  return os::AwaitEnd(attempt.child.pidfd(), os::Deadline::After(absl::ZeroDuration())).value_or(false);
}

std::optional<absl::Duration> TimeIn(const std::atomic<int64_t>& nanoseconds) {
  // Whatever a child may have put there; it is only compared.
  const int64_t value = nanoseconds.load(std::memory_order_acquire);
  return value == 0 ? std::nullopt : std::optional(absl::Nanoseconds(value));
}

}  // namespace

// --- stopping ---------------------------------------------------------------------------------------------------------

absl::Status Supervisor::CheckSignal(int signo) {
  if (os::IsSignalNumber(signo)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ProcessManager: ", signo, " is no signal"));
}

absl::Status Supervisor::Kill(ProcessRecord& record, int signo) {
  if (absl::Status valid = CheckSignal(signo); !valid.ok()) return valid;
  Attempt* const current = record.current();
  return current != nullptr ? current->child.Kill(signo) : absl::OkStatus();
}

StopPlan Supervisor::PlanOf(const ProcessRecord& record) const {
  const std::optional<StopPlan>& own = record.spec.options.stop;
  StopPlan plan = shutdown_plan_.has_value() ? *shutdown_plan_ : own.value_or(StopPlan::From(stop_policy_));
  plan.target = TargetOf(record);
  return plan;
}

// Whatever the steps: nobody but its own options asks for more than the process.
KO_CHILD_CODE StopTarget Supervisor::TargetOf(const ProcessRecord& record) {
  const std::optional<StopPlan>& own = record.spec.options.stop;
  return own.has_value() ? own->target : StopTarget::kProcess;
}

void Supervisor::RequestStop(const RecordPtr& record, const std::optional<StopPlan>& plan) {
  if (record->state == ProcessRecord::State::kEnded) return;
  record->asked_to_end = true;
  if (HasSpareBegun(*record)) EndFollowed(record);
  DropSpare(*record);
  record->finishing = true;
  FinishReplacement(record, absl::CancelledError(absl::StrCat(record->name(), ": it is being stopped")));
  if (record->attempts.empty()) {
    EndBetweenAttempts(record);
  } else {
    const StopPlan chosen = plan.value_or(PlanOf(*record));
    for (const auto& attempt : record->attempts) {
      attempt->to_restart = false;
      StopAttempt(record, *attempt, chosen, "stopped");
    }
  }
  WakeWaiter();
}

void Supervisor::StopForGood(const RecordPtr& member) { RequestStop(member); }

void Supervisor::StopToRestart(const RecordPtr& member) {
  FinishReplacement(member, absl::CancelledError(absl::StrCat(member->name(), ": its group restarts")));
  for (const auto& attempt : member->attempts) {
    if (attempt->role == Role::kSpare) continue;
    attempt->to_restart = attempt->role == Role::kCurrent;
    StopAttempt(member, *attempt, PlanOf(*member), "restarted with its group");
  }
  if (member->current() == nullptr && member->state == ProcessRecord::State::kAwaitingRestart)
    member->due = true;
}

void Supervisor::StopAttempt(const RecordPtr& record, Attempt& attempt, const StopPlan& plan,
                             std::string reason) {
  const bool begins = !attempt.stop.active();
  const StopTracker::Action action = attempt.stop.Begin(plan, os::MonotonicNow());
  if (attempt.reason.empty()) attempt.reason = std::move(reason);
  if (begins && action.signal != SIGKILL) {
    Tell(*record, &attempt, ProcessEvent::Kind::kStopping, [&](ProcessEvent& event) {
      event.signal = action.signal;
      event.reason = attempt.reason;
    });
  }
  Signal(record, attempt, action);
}

void Supervisor::Signal(const RecordPtr& record, Attempt& attempt, const StopTracker::Action& action) {
  if (action.signal == SIGKILL) {
    Tell(*record, &attempt, ProcessEvent::Kind::kKilled, [&](ProcessEvent& event) {
      event.signal = SIGKILL;
      event.reason = attempt.reason;
    });
  }
  SendTo(*record, attempt, action.signal);
  if (action.signal != SIGKILL) SendTo(*record, attempt, SIGCONT);  // a stopped one hears the other only then
  attempt.timer.Set(action.next_at);
}

void Supervisor::SendTo(const ProcessRecord& record, Attempt& attempt, int signo) {
  // A child that has not come to make its group or session yet is alone.
  switch (TargetOf(record)) {
    case StopTarget::kGroup:
      if (::kill(-attempt.pid(), signo) == 0) return;
      break;
    case StopTarget::kTree:
      if (signo == SIGKILL && attempt.cgroup.has_value()) attempt.cgroup->Kill().IgnoreError();
      if (os::SignalSession(attempt.pid(), signo) > 0) return;
      break;
    case StopTarget::kProcess:
      break;
  }
  attempt.child.Kill(signo).IgnoreError();
}

// While its leader is a zombie, so that its number is nobody else's.
void Supervisor::KillLeftovers(const ProcessRecord& record, Attempt& attempt) {
  if (TargetOf(record) != StopTarget::kProcess && HasEnded(attempt)) SendTo(record, attempt, SIGKILL);
}

// --- watching over ----------------------------------------------------------------------------------------------------

bool Supervisor::NoticeReady(const RecordPtr& record, Attempt& attempt) {
  // Pairs with the exchange in Self::NotifyReady.
  if (attempt.ready_at.has_value() || attempt.number == 0 ||
      attempt.control->ready.load(std::memory_order_acquire) != 1) {
    return false;
  }
  BeReady(record, attempt);
  return true;
}

void Supervisor::BeReady(const RecordPtr& record, Attempt& attempt) {
  attempt.ready_at = os::MonotonicNow();
  record->last_ready_attempt = std::max(record->last_ready_attempt, attempt.number);
  if (record->spec.options.recycle.max_tasks == RecyclePolicy::kUnlimited) may_ring_.erase(attempt.id);
  Tell(*record, &attempt, ProcessEvent::Kind::kReady);
  announcements_.TellReady(record);
  if (record->group != nullptr) groups_.Touch();
  Check(record, attempt);
  if (record->replacement.has_value() && record->replacement->attempt == attempt.number) {
    OnSuccessorReady(record);
  }
}

void Supervisor::OnTimer(const RecordPtr& record, Attempt& attempt) {
  if (!attempt.stop.active()) return Check(record, attempt);
  Signal(record, attempt, attempt.stop.Next(os::MonotonicNow()));
}

// Whatever may be due of an attempt; sets its timer for what is next.
void Supervisor::Check(const RecordPtr& record, Attempt& attempt) {
  const ProcessOptions& options = record->spec.options;
  if (attempt.stop.active()) return;  // which has an end of its own
  if (!options.liveness.IsAnything() && !options.recycle.IsAnything()) return;
  // What it has said is told before what is done about it; that comes back here.
  if (attempt.role == Attempt::Role::kCurrent && NoticeReady(record, attempt)) return;
  const absl::Duration now = os::MonotonicNow();
  absl::Duration next = absl::InfiniteDuration();
  if (!CheckLife(record, attempt, now, next)) return;
  CheckAge(record, attempt, now, next);
  if (!attempt.stop.active()) attempt.timer.Set(next);
}

bool Supervisor::CheckLife(const RecordPtr& record, Attempt& attempt, absl::Duration now,
                           absl::Duration& next) {
  const LivenessPolicy& policy = record->spec.options.liveness;
  LivenessView view{.started_at = attempt.started_at,
                    .awaits_ready = record->spec.options.ready == ReadyWhen::kNotified,
                    .ready_at = attempt.ready_at};
  view.last_heartbeat =
      attempt.heartbeat_at.has_value() ? attempt.heartbeat_at : TimeIn(attempt.control->heartbeat_ns);
  view.task_began = TimeIn(attempt.control->task_ns);
  const LivenessVerdict verdict = CheckLiveness(policy, view, now);
  next = std::min(next, verdict.check_at);
  if (verdict.missed == Missed::kNone) return true;

  Hang(record, attempt, absl::StrCat("missed its ", MissedName(verdict.missed)));
  return false;
}

void Supervisor::Hang(const RecordPtr& record, Attempt& attempt, std::string why) {
  if (attempt.stop.active()) return;
  const LivenessPolicy& policy = record->spec.options.liveness;
  attempt.reason = std::move(why);
  Tell(*record, &attempt, ProcessEvent::Kind::kHung, [&](ProcessEvent& event) {
    event.signal = policy.hung_signal;
    event.reason = attempt.reason;
  });
  Signal(record, attempt,
         attempt.stop.Begin({.steps = {{policy.hung_signal, policy.hung_grace}}}, os::MonotonicNow()));
}

void Supervisor::CheckAge(const RecordPtr& record, Attempt& attempt, absl::Duration now,
                          absl::Duration& next) {
  const RecyclePolicy& policy = record->spec.options.recycle;
  if (attempt.role != Role::kCurrent || record->restart == nullptr) return;
  RecycleView view{.tasks = attempt.control->tasks.load(std::memory_order_acquire),
                   .age = now - attempt.started_at};
  if (now >= attempt.memory_check_at) {
    view.memory_bytes = os::ResidentBytes(attempt.pid()).value_or(0);
    attempt.memory_check_at = now + policy.memory_interval;
  }
  next = std::min(next, attempt.memory_check_at);
  const absl::Duration retire_at = attempt.started_at + RecycleAge(policy, attempt.spread);
  if (now < retire_at) next = std::min(next, retire_at);

  const Recycle recycle = CheckRecycle(policy, view, attempt.spread);
  if (recycle == Recycle::kNo) return;
  if (recycle == Recycle::kHardMemory) {
    return StopAttempt(record, attempt, {.steps = {}}, RecycleReason(recycle));
  }
  if (std::exchange(attempt.recycling, true)) return;
  if (record->replacement.has_value()) return RecycleLater(record);  // a roll-out's
  RecycleNow(record, recycle);
}

void Supervisor::RecycleNow(const RecordPtr& record, Recycle why) {
  Tell(*record, record->current(), ProcessEvent::Kind::kRecycling,
       [&](ProcessEvent& event) { event.reason = RecycleReason(why); });
  const std::weak_ptr<ProcessRecord> weak = record;
  Replace(record, absl::ZeroDuration(), RecycleReason(why), [this, weak](const absl::Status& replaced) {
    const RecordPtr record = weak.lock();
    if (!replaced.ok() && record != nullptr && !record->finishing) RecycleLater(record);
  });
}

// The new one was not well: the old one goes on, and a further try waits for the policy's largest delay.
void Supervisor::RecycleLater(const RecordPtr& record) {
  const std::weak_ptr<ProcessRecord> weak = record;
  record->recycle_timer = std::make_unique<TimerQueue::Timer>(timers_, [this, weak] {
    const RecordPtr record = weak.lock();
    Attempt* const current = record == nullptr ? nullptr : record->current();
    if (current == nullptr) return;
    current->recycling = false;
    Check(record, *current);
  });
  record->recycle_timer->Set(os::MonotonicNow() +
                             std::max(record->spec.restart->max_delay, kLeastRecyclePause));
}

// --- replacing --------------------------------------------------------------------------------------------------------

void Supervisor::Replace(const RecordPtr& record, absl::Duration observe, std::string reason,
                         absl::AnyInvocable<void(const absl::Status&)> done) {
  const auto refuse = [&](std::string_view why) {
    done(absl::FailedPreconditionError(absl::StrCat(record->name(), ": cannot be replaced: ", why)));
  };
  if (HasSpareBegun(*record)) return refuse("it has just ended");
  const Attempt* const old = record->current();
  if (old == nullptr || record->finishing || shutting_down_ || closed_) return refuse("it does not run");
  if (old->stop.active()) return refuse("it is being stopped");
  FinishReplacement(record,
                    absl::CancelledError(absl::StrCat(record->name(), ": another one takes its place")));

  DropSpare(*record);  // as old as the one that it would replace
  record->replacement.emplace();
  record->replacement->attempt = record->attempt + 1;
  record->replacement->observe = observe;
  record->replacement->reason = std::move(reason);
  record->replacement->done = std::move(done);
  if (std::optional<ExitStatus> failed = StartAttempt(record, Role::kSuccessor)) {
    ExitEvent exit{.status = *failed, .attempt = record->attempt};
    TellExited(*record, exit);
    announcements_.TellExit(record, std::move(exit), /*is_last=*/false);
    FinishReplacement(record, absl::AbortedError(absl::StrCat(record->name(), ": ", failed->ToString())));
  } else if (record->spec.options.ready == ReadyWhen::kStarted) {
    OnSuccessorReady(record);
  }
  WakeWaiter();
}

void Supervisor::OnSuccessorReady(const RecordPtr& record) {
  Replacement& replacement = *record->replacement;
  if (replacement.stage != Replacement::Stage::kStarting) return;
  replacement.stage = Replacement::Stage::kObserving;
  if (replacement.observe <= absl::ZeroDuration()) return Promote(record);
  const std::weak_ptr<ProcessRecord> weak = record;
  replacement.timer = std::make_unique<TimerQueue::Timer>(timers_, [this, weak] {
    if (const RecordPtr record = weak.lock(); record != nullptr && record->replacement.has_value()) {
      Promote(record);
    }
  });
  replacement.timer->Set(os::MonotonicNow() + replacement.observe);
}

void Supervisor::Promote(const RecordPtr& record) {
  Attempt* const successor = record->Find(Role::kSuccessor);
  // Where the old one has ended meanwhile, the new one has taken over then.
  if (successor == nullptr) return FinishReplacement(record, absl::OkStatus());
  // One that is gone takes over from nobody; its end is about to be noticed.
  if (HasEnded(*successor)) return;
  record->replacement->stage = Replacement::Stage::kRetiring;
  Attempt* const old = record->current();
  successor->role = Role::kCurrent;
  Tell(*record, successor, ProcessEvent::Kind::kReplaced);
  old->role = Role::kRetiring;
  StopAttempt(record, *old, PlanOf(*record), record->replacement->reason);
  KeepSpare(record);
  Check(record, *successor);
}

void Supervisor::FinishReplacement(const RecordPtr& record, absl::Status status) {
  if (!record->replacement.has_value()) return;
  Replacement replacement = *std::exchange(record->replacement, std::nullopt);
  // One that is to be given up is still there where it was the observation that it did not pass, or something else ended
  // the replacement.
  if (Attempt* const successor = record->Find(Role::kSuccessor); successor != nullptr && !record->finishing) {
    successor->role = Role::kRetiring;
    StopAttempt(record, *successor, {.steps = {}}, "not needed");
  }
  replacement.done(status);
}

}  // namespace ko
