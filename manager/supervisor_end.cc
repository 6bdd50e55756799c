#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ko/manager/supervisor.h"

// What a Supervisor does about the ends of processes.

namespace ko {
namespace {

using Action = RestartTracker::Action;
using Role = Attempt::Role;

}  // namespace

void Supervisor::OnAttemptEnd(const RecordPtr& record, Attempt& attempt, ExitStatus status) {
  // A spare that has begun by itself: its end was noticed ahead of the one's that it followed.
  if (attempt.role == Role::kSpare && HasSpareBegun(*record)) EndFollowed(record);
  if (attempt.role == Role::kSpare) {
    Reap(*record, attempt, std::move(status));
    return;
  }
  NoticeReady(record, attempt);  // it may have been ready, and gone, since the last look
  const Role role = attempt.role;
  const bool to_restart = attempt.to_restart;
  const std::optional<RestartTracker::Decision> decision = LetSpareBegin(record, attempt, status);
  ExitEvent exit = Reap(*record, attempt, std::move(status));
  TellExited(*record, exit);
  // The end of one that has not taken over, or has been taken over from, is not the process's.
  if (role == Role::kCurrent || !record->exit.has_value()) KeepExit(record, exit);
  if (role == Role::kCurrent && !record->finishing) {
    return OnCurrentEnd(record, std::move(exit), to_restart, decision);
  }

  const ExitStatus ended = exit.status;
  const bool is_last = record->finishing && !record->Lives();
  announcements_.TellExit(record, std::move(exit), is_last);
  if (record->group != nullptr) groups_.Touch();  // it may have waited for this one's end
  if (is_last) {
    EndForGood(record);
    if (record->group != nullptr) groups_.OnMemberEnd(record, Action::kStayDown, ended.ToString());
  } else if (role == Role::kSuccessor) {
    const absl::Status how = ended.ToStatus();
    FinishReplacement(
        record, absl::AbortedError(absl::StrCat(record->name(), ": the new one has ended: ",
                                                how.ok() ? ended.ToString() : std::string(how.message()))));
  } else if (record->replacement.has_value() && record->replacement->stage == Replacement::Stage::kRetiring) {
    FinishReplacement(record, absl::OkStatus());
  }
}

// An attempt that never was.
void Supervisor::FailStart(const RecordPtr& record, ExitStatus status) {
  ExitEvent exit{.status = std::move(status), .attempt = record->attempt};
  TellExited(*record, exit);
  KeepExit(record, exit);
  OnCurrentEnd(record, std::move(exit), /*to_restart=*/false, std::nullopt);
}

void Supervisor::TellExited(const ProcessRecord& record, const ExitEvent& exit) {
  Tell(record, nullptr, ProcessEvent::Kind::kExited, [&](ProcessEvent& event) {
    event.pid = exit.pid;
    event.attempt = exit.attempt;
    event.reason = exit.reason;
    event.exit = exit;
  });
}

// The decision where it has been taken already.
void Supervisor::OnCurrentEnd(const RecordPtr& record, ExitEvent exit, bool to_restart,
                              std::optional<RestartTracker::Decision> decided) {
  if (record->replacement.has_value() && record->replacement->attempt == exit.attempt) {
    FinishReplacement(record, absl::AbortedError(absl::StrCat(
                                  record->name(), ": the new one has ended: ", exit.status.ToString())));
  }
  if (Attempt* const successor = record->Find(Role::kSuccessor); successor != nullptr) {
    announcements_.TellExit(record, std::move(exit), /*is_last=*/false);
    successor->role = Role::kCurrent;
    Tell(*record, successor, ProcessEvent::Kind::kReplaced);
    return;
  }
  record->state = ProcessRecord::State::kAwaitingRestart;
  if (to_restart && !shutting_down_ && !closed_) {
    announcements_.TellExit(record, std::move(exit), /*is_last=*/false);
    record->due = true;
    groups_.Touch();
    return;
  }

  const RestartTracker::Decision decision =
      decided.has_value() ? *decided : DecideRestart(record, exit.status, exit.run_time);
  const ExitStatus ended = exit.status;
  if (decision.action == Action::kRestart) {
    // Of a failed start those are told, too, who ask for it afterwards: it may have been the first one.
    const bool was_started = exit.pid != 0;
    if (!was_started || !record->handlers.empty())
      announcements_.TellExit(record, std::move(exit), /*is_last=*/false);
    Tell(*record, nullptr, ProcessEvent::Kind::kRestarting, [&](ProcessEvent& event) {
      event.attempt = record->attempt + 1;
      event.delay = decision.delay;
    });
    AwaitRestart(record, decision.delay);
    if (record->group != nullptr) groups_.OnMemberEnd(record, decision.action, ended.ToString());
    return;
  }
  if (decision.action == Action::kEscalate && record->group != nullptr) {
    announcements_.TellExit(record, std::move(exit), /*is_last=*/false);
    return groups_.OnMemberEnd(record, decision.action, ended.ToString());
  }

  if (decision.action != Action::kStayDown) {
    Tell(*record, nullptr, ProcessEvent::Kind::kGaveUp, [&](ProcessEvent& event) {
      event.reason = absl::StrCat("it has reached its limit of restarts at attempt ", record->attempt);
    });
  }
  if (decision.action == Action::kEscalate) {
    Escalate(absl::AbortedError(
        absl::StrCat("ProcessManager: shut down, as a process reached its limit of restarts at attempt ",
                     record->attempt, ": ", ended.ToString())));
  }
  DropSpare(*record);
  record->finishing = true;
  const bool is_last = record->attempts.empty();  // an old one may still be retiring
  announcements_.TellExit(record, std::move(exit), is_last);
  if (!is_last) return;
  EndForGood(record);
  if (record->group != nullptr) groups_.OnMemberEnd(record, decision.action, ended.ToString());
}

RestartTracker::Decision Supervisor::DecideRestart(const RecordPtr& record, const ExitStatus& status,
                                                   absl::Duration run_time) {
  const bool may_restart = !record->finishing && !shutting_down_ && !closed_;
  if (record->restart == nullptr || (!may_restart && !HasSpareBegun(*record))) return {Action::kStayDown};
  return record->restart->OnEnd(status, run_time, os::MonotonicNow(), Random());
}

void Supervisor::AwaitRestart(const RecordPtr& record, absl::Duration delay) {
  record->due = false;
  if (record->restart_timer == nullptr) {
    const std::weak_ptr<ProcessRecord> weak = record;
    record->restart_timer = std::make_unique<TimerQueue::Timer>(timers_, [this, weak] {
      if (const RecordPtr record = weak.lock(); record != nullptr) OnRestartDue(record);
    });
  }
  // A start that failed is tried again in a later round: one that fails for ever does not keep this one from its end.
  const bool was_started = record->exit.has_value() && record->exit->pid != 0;
  if (delay <= absl::ZeroDuration() && was_started) return OnRestartDue(record);
  record->restart_timer->Set(os::MonotonicNow() + delay);
}

void Supervisor::OnRestartDue(const RecordPtr& record) {
  if (record->state != ProcessRecord::State::kAwaitingRestart || record->finishing) return;
  if (record->group == nullptr || groups_.MayStartAtOnce(*record)) return StartCurrent(record);
  record->due = true;
  groups_.Touch();
}

// With the child still there. It is no longer watched, and `attempt` is gone afterwards.
ExitEvent Supervisor::Reap(ProcessRecord& record, Attempt& attempt, ExitStatus status) {
  ExitEvent exit{.status = std::move(status), .attempt = attempt.number, .pid = attempt.pid()};
  exit.run_time = os::MonotonicNow() - attempt.started_at;
  exit.usage = attempt.child.usage();
  exit.oom_killed = TakeOomKill(exit.status);
  exit.reason = attempt.reason;
  if (attempt.output.has_value()) {
    for (int stream = 0; stream < CommandOutput::kStreams; ++stream) {
      attempt.output->Drain(stream);  // what it wrote last
      CloseOutput(attempt, stream);
    }
    exit.last_lines = attempt.output->LastLines();
    if (!exit.status.ok()) {
      exit.status = exit.status.WithLastOutput(absl::StrJoin(exit.last_lines, "\n"));
    }
  }
  if (kernel_ != nullptr && !attempt.end_told) kernel_->epoll.Remove(attempt.child.pidfd());
  Forget(record, attempt);
  return exit;
}

void Supervisor::KeepExit(const RecordPtr& record, const ExitEvent& exit) {
  record->status = exit.status;
  record->exit = exit;
}

// Each kill that the kernel has counted is one attempt's end.
bool Supervisor::TakeOomKill(const ExitStatus& status) {
  if (status.term_signal() != SIGKILL || kernel_ == nullptr) return false;
  oom_kills_counted_ = true;
  if (kernel_->oom_kills.Count().value_or(0) <= oom_kills_seen_) return false;
  ++oom_kills_seen_;
  return true;
}

void Supervisor::CloseOutput(Attempt& attempt, int stream) {
  const int fd = attempt.output->fd(stream);
  if (kernel_ != nullptr && fd >= 0) kernel_->epoll.Remove(fd);
  fds_.Remove(fd);
  attempt.output->Close(stream);
}

void Supervisor::EndForGood(const RecordPtr& record) {
  record->state = ProcessRecord::State::kEnded;
  record->restart_timer.reset();
  record->recycle_timer.reset();
  record->spec.body.reset();  // frees what the user's held
  record->spec.command.reset();
  if (record->region != nullptr) {
    fds_.Remove(record->region->fd());
    record->region->CloseFd();
  }
  records_.Remove(record->id);
  if (record->group != nullptr) groups_.Touch();
}

// Stopped while it waits for its next attempt: the last one's end, which was told as one of several, has become the end.
void Supervisor::EndBetweenAttempts(const RecordPtr& record) {
  if (record->attempt == 0) {
    record->finishing = true;
    return FailStart(record,
                     ExitStatus::NotStarted(ECANCELED, "start")
                         .WithReason(absl::CancelledError("it was stopped before its turn to start")));
  }
  announcements_.MakeLast(record);
  EndForGood(record);
}

}  // namespace ko
