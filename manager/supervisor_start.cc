#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "ko/manager/attempt_entry.h"
#include "ko/manager/served_body.h"
#include "ko/manager/supervisor.h"
#include "ko/manager/supervisor_tokens.h"
#include "ko/os/child_code.h"
#include "ko/os/signal_mask.h"
#include "ko/process/fork.h"

// How a Supervisor starts processes.

namespace ko {
namespace {

std::optional<os::Cgroup> MakeCgroup(uint64_t token) {
  absl::StatusOr<os::Cgroup> cgroup = os::Cgroup::CreateBelowOwn(absl::StrCat("ko-", ::getpid(), "-", token));
  return cgroup.ok() ? std::optional(*std::move(cgroup)) : std::nullopt;
}

}  // namespace

absl::Status Supervisor::CheckSpec(const ProcessSpec& spec, const GroupRecord* group) const {
  if (spec.body == nullptr || !*spec.body) {
    return absl::InvalidArgumentError("ProcessManager: the body is empty");
  }
  if (spec.command != nullptr) {
    if (absl::Status valid = spec.command->Validate(); !valid.ok()) return valid;
  }
  if (spec.restart.has_value()) {
    if (absl::Status valid = spec.restart->Validate(); !valid.ok()) return valid;
  }
  if (absl::Status valid = spec.options.Validate(); !valid.ok()) return valid;
  if (shutting_down_) return absl::CancelledError("ProcessManager: it is shutting down");
  if (group != nullptr && (group->ended || group->goal == GroupGoal::kDown)) {
    return absl::CancelledError(absl::StrCat("Group ", group->options.name, ": it has ended"));
  }
  return absl::OkStatus();
}

Supervisor::RecordPtr Supervisor::Start(ProcessSpec spec, GroupRecord* group) {
  absl::Status open = EnsureOpen();
  auto record = std::make_shared<ProcessRecord>();
  record->supervisor = weak_from_this();
  record->id = next_id_++;
  record->spec = std::move(spec);
  if (record->name().empty()) record->spec.options.name = absl::StrCat("process ", record->id);
  records_.emplace(record->id, record);

  const auto refuse = [&](int error_number, absl::Status why) {
    record->attempt = 1;  // which failed
    FailStart(record, ExitStatus::NotStarted(error_number, "start").WithReason(std::move(why)));
    RingForUntold();
    return record;
  };
  if (!open.ok()) return refuse(EMFILE, std::move(open));
  if (absl::Status valid = CheckSpec(record->spec, group); !valid.ok()) {
    const int error_number = absl::IsCancelled(valid) ? ECANCELED : EINVAL;
    return refuse(error_number, std::move(valid));
  }
  if (absl::Status shared = GiveMemory(*record); !shared.ok()) return refuse(ENOMEM, std::move(shared));
  if (record->spec.restart.has_value())
    record->restart = std::make_unique<RestartTracker>(*record->spec.restart);

  if (group != nullptr) {
    groups_.Add(record, *group);
    groups_.Settle();
  } else {
    StartCurrent(record);
  }
  WakeWaiter();
  return record;
}

absl::Status Supervisor::GiveMemory(ProcessRecord& record) {
  if (record.spec.body->served() == nullptr) {
    absl::StatusOr<std::shared_ptr<ProcessMemory>> memory = memory_slots_.Allocate();
    if (memory.ok()) record.memory = *std::move(memory);
    return memory.status();
  }
  absl::StatusOr<std::unique_ptr<ServedRegion>> region = ServedRegion::Create();
  if (!region.ok() && fd_limit_.Raise()) region = ServedRegion::Create();
  if (!region.ok()) return region.status();
  record.region = *std::move(region);
  record.memory = record.region->memory();
  fds_.Add(record.region->fd());
  fd_limit_.MakeRoomBeyond(record.region->fd());
  return absl::OkStatus();
}

void Supervisor::StartCurrent(const RecordPtr& record) {
  record->due = false;
  if (!UseSpare(record)) {
    std::optional<ExitStatus> failed = StartAttempt(record, Attempt::Role::kCurrent);
    if (failed.has_value()) return FailStart(record, *std::move(failed));
  }
  KeepSpare(record);
}

std::optional<ExitStatus> Supervisor::StartAttempt(const RecordPtr& record, Attempt::Role role) {
  oom_kills_seen_ = kernel_->oom_kills.Count().value_or(0);
  const auto fail = [&](ExitStatus status) {
    if (role != Attempt::Role::kSpare) ++record->attempt;
    return status;
  };
  ControlSlots& slots = SlotsOf(*record);
  absl::StatusOr<ControlSlotRef> control = slots.Allocate();
  if (!control.ok()) return fail(ExitStatus::NotStarted(ENOMEM, "start").WithReason(control.status()));

  Outfit outfit{.role = role, .control = *std::move(control), .followed = nullptr, .cgroup = std::nullopt};
  if (role == Attempt::Role::kSpare) GiveLeave(*record, outfit);
  if (TargetOf(*record) == StopTarget::kTree) outfit.cgroup = MakeCgroup(next_token_);
  std::variant<Child, ExitStatus> started = StartProcess(record, outfit);
  if (auto* status = std::get_if<ExitStatus>(&started);
      status != nullptr && status->start_error() == EMFILE && fd_limit_.Raise()) {
    started = StartProcess(record, outfit);
  }
  if (auto* status = std::get_if<ExitStatus>(&started)) {
    slots.Free(std::move(outfit.control));
    return fail(std::move(*status));
  }

  const uint64_t token = next_token_++;
  auto owned = std::make_unique<Attempt>(std::move(std::get<Child>(started)), timers_, [this, token] {
    if (const auto found = attempts_.find(token); found != attempts_.end()) {
      const auto [record, attempt] = found->second;
      OnTimer(record, *attempt);
    }
  });
  Attempt& attempt = *owned;
  attempt.role = role;
  attempt.id = token;
  attempt.control = std::move(outfit.control);
  attempt.cgroup = std::move(outfit.cgroup);
  absl::Status watched = absl::OkStatus();
  if (record->spec.command != nullptr) {
    absl::StatusOr<CommandOutput> output = CommandOutput::Of(attempt.child);
    watched = output.status();
    if (output.ok()) attempt.output = *std::move(output);
  }
  if (watched.ok()) watched = Watch(attempt);
  if (!watched.ok()) {
    attempt.child.Stop({.signal = SIGKILL}).IgnoreError();
    slots.Free(std::move(attempt.control));
    return fail(ExitStatus::NotStarted(ENOSPC, "epoll_ctl").WithReason(std::move(watched)));
  }
  attempt.ForEachFd([this](int fd) { fds_.Add(fd); });
  attempts_.emplace(token, Watched{record, &attempt});
  record->attempts.push_back(std::move(owned));
  if (role != Attempt::Role::kSpare) Begin(record, attempt, role);
  return std::nullopt;
}

std::variant<Child, ExitStatus> Supervisor::StartProcess(const RecordPtr& record, Outfit& outfit) {
  if (record->spec.body->served() != nullptr) return ServeAttempt(*record, outfit);
  if (record->spec.command == nullptr) return ForkAttempt(record, outfit);
  absl::StatusOr<std::vector<std::string>> environment = EnvironmentFor(*record);
  if (!environment.ok()) return ExitStatus::NotStarted(EMFILE, "socket").WithReason(environment.status());
  std::variant<Child, ExitStatus> started =
      record->spec.command->Start({.open_files = fd_limit_.original(),
                                   .target = TargetOf(*record),
                                   .environment = *std::move(environment)});
  if (const Child* child = std::get_if<Child>(&started)) Confine(*child, outfit);
  return started;
}

std::variant<Child, ExitStatus> Supervisor::ServeAttempt(const ProcessRecord& record, const Outfit& outfit) {
  const os::ScopedAllSignalsBlocked blocked;  // in the new process, too, until it has its Self
  const ServedLaunch launch{.facts = FactsOf(record, outfit),
                            .control_offset = record.region->OffsetOf(outfit.control),
                            .mask = blocked.previous()};
  absl::StatusOr<Child> child =
      record.spec.body->served()->launch(launch, PassedFd{record.region->fd()}, PassedFd{kernel_->bell.fd()});
  if (!child.ok()) {
    const int error_number = absl::IsResourceExhausted(child.status()) ? EMFILE : EAGAIN;
    return ExitStatus::NotStarted(error_number, "fork server").WithReason(child.status());
  }
  Confine(*child, outfit);
  return *std::move(child);
}

// What it may have started before is found by its session.
void Supervisor::Confine(const Child& child, const Outfit& outfit) {
  if (outfit.cgroup.has_value()) outfit.cgroup->Add(child.pid()).IgnoreError();
}

KO_CHILD_CODE AttemptFacts Supervisor::FactsOf(const ProcessRecord& record, const Outfit& outfit) const {
  return {.attempt = record.attempt + 1,
          .slot = record.spec.slot,
          .max_tasks = record.spec.options.recycle.max_tasks,
          .target = TargetOf(record),
          .takes_self = record.spec.body->takes_self(),
          .is_spare = outfit.role == Attempt::Role::kSpare,
          .is_followed = record.region == nullptr && KeepsSpare(record),
          .followed = outfit.followed != nullptr ? outfit.followed->control.get() : nullptr,
          .followed_pid = outfit.followed != nullptr ? outfit.followed->pid() : 0};
}

absl::Status Supervisor::Watch(const Attempt& attempt) {
  const int pidfd = attempt.child.pidfd();
  if (absl::Status added = kernel_->epoll.Add(pidfd, attempt.id); !added.ok()) return added;
  fd_limit_.MakeRoomBeyond(pidfd);
  for (int stream = 0; attempt.output.has_value() && stream < CommandOutput::kStreams; ++stream) {
    const int fd = attempt.output->fd(stream);
    if (fd < 0) continue;
    if (absl::Status added = kernel_->epoll.Add(fd, attempt.id | kOutputTokens[stream]); !added.ok()) {
      kernel_->epoll.Remove(pidfd);
      return added;
    }
    fd_limit_.MakeRoomBeyond(fd);
  }
  return absl::OkStatus();
}

// It runs its body from now on.
void Supervisor::Begin(const RecordPtr& record, Attempt& attempt, Attempt::Role role) {
  const ProcessOptions& options = record->spec.options;
  attempt.role = role;
  attempt.number = ++record->attempt;
  attempt.started_at = os::MonotonicNow();
  if (record->spec.body->takes_self()) may_ring_.insert(attempt.id);
  if (options.recycle.max_age != absl::InfiniteDuration()) attempt.spread = Random();
  if (options.recycle.watches_memory()) {
    attempt.memory_check_at = attempt.started_at + options.recycle.memory_interval;
  }
  if (role == Attempt::Role::kCurrent) {
    record->state = ProcessRecord::State::kRunning;
    record->ready_announced = false;
  }
  Tell(*record, &attempt, ProcessEvent::Kind::kStarted);
  Check(record, attempt);
}

// --- in the child -----------------------------------------------------------------------------------------------------

std::variant<Child, ExitStatus> Supervisor::ForkAttempt(const RecordPtr& record, Outfit& outfit) {
  // On the stack, and so small in the callables that they need no memory: what lies on the heap the child would have to copy,
  // only to free it.
  struct {
    Supervisor* supervisor;
    RecordPtr record;
    Outfit& outfit;
  } const launch = {this, record, outfit};
  ForkOptions options;
  options.die_with_parent = true;
  options.setup = [&launch] { return launch.supervisor->EnterChild(launch.record, launch.outfit); };
  return TryFork([&launch] { return (*launch.record->spec.body)(launch.supervisor->self_.get()); },
                 std::move(options), &report_slots_);
}

// With all signals blocked. Closes what is the parent's by the numbers alone, and keeps this as it is for as long as the child
// lives: to destroy thousands of records is to copy the memory that they lie in, and what they own is closed already.
KO_CHILD_CODE absl::Status Supervisor::EnterChild(const RecordPtr& record, Outfit& outfit) {
  kept_ = shared_from_this();
  const AttemptFacts facts = FactsOf(*record, outfit);
  fds_.CloseAll(/*kept=*/facts.takes_self ? kernel_->bell.fd() : -1);
  fd_limit_.Restore();
  if (outfit.cgroup.has_value()) outfit.cgroup->AddSelf().IgnoreError();  // the session is left
  outfit.cgroup.reset();
  absl::StatusOr<std::unique_ptr<Self>> self = EnterAttempt(
      facts, outfit.control, record->memory, facts.takes_self ? std::move(kernel_->bell) : os::EventFd());
  if (self.ok()) self_ = *std::move(self);
  return self.status();
}

}  // namespace ko
