#include <unistd.h>

#include <algorithm>
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
#include "ko/os/in_one_page.h"
#include "ko/os/signal_mask.h"
#include "ko/process/fork.h"

// How a Supervisor starts processes.

namespace ko {
namespace {

std::optional<os::Cgroup> MakeCgroup(uint64_t token) {
  absl::StatusOr<os::Cgroup> cgroup = os::Cgroup::CreateBelowOwn(absl::StrCat("ko-", ::getpid(), "-", token));
  return cgroup.ok() ? std::optional(*std::move(cgroup)) : std::nullopt;
}

// What is written to between two forks is copied page by page. For a restart that is the record; for an end among many it is
// also what else was allocated for it, which is to lie close by.
Supervisor::RecordPtr MakeRecord(const ProcessSpec& spec) {
  if (!spec.restart.has_value()) return std::make_shared<ProcessRecord>();
  return std::allocate_shared<ProcessRecord>(os::InOnePage<ProcessRecord>());
}

// Here and below: not inlined, since what lies on the stack between a fork and the program's own code has to be copied, too.
[[gnu::noinline]] ExitStatus CannotStart(int error_number, std::string_view stage, absl::Status why) {
  return ExitStatus::NotStarted(error_number, std::string(stage)).WithReason(std::move(why));
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
  oom_kills_counted_ = false;
  const RecordPtr record = MakeRecord(spec);
  record->supervisor = weak_from_this();
  record->supervisor_itself = this;
  record->id = next_id_++;
  record->spec = std::move(spec);
  if (record->name().empty()) record->spec.options.name = absl::StrCat("process ", record->id);
  records_.Add(record->id, record);

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

// What can be done before the fork is: each page that is written to while the child is there has to be copied.
std::optional<ExitStatus> Supervisor::StartAttempt(const RecordPtr& record, Attempt::Role role) {
  if (!oom_kills_counted_) oom_kills_seen_ = kernel_->oom_kills.Count().value_or(0);
  absl::StatusOr<ControlSlotRef> control = SlotsOf(*record).Allocate();
  if (!control.ok()) {
    if (role != Attempt::Role::kSpare) ++record->attempt;
    return CannotStart(ENOMEM, "start", control.status());
  }
  Attempt& attempt = MakeAttempt(record, role, *std::move(control));
  const Attempt* const followed = role == Attempt::Role::kSpare ? GiveLeave(*record, attempt) : nullptr;
  const AttemptFacts facts = FactsOf(*record, attempt, followed);

  std::variant<Child, ExitStatus> started = StartProcess(record, attempt, facts);
  if (auto* status = std::get_if<ExitStatus>(&started);
      status != nullptr && status->start_error() == EMFILE && fd_limit_.Raise()) {
    started = StartProcess(record, attempt, facts);
  }
  if (auto* status = std::get_if<ExitStatus>(&started)) {
    Forget(*record, attempt);
    return std::move(*status);
  }
  attempt.child = std::get<Child>(std::move(started));
  absl::Status watched = absl::OkStatus();
  if (record->spec.command != nullptr) {
    absl::StatusOr<CommandOutput> output = CommandOutput::Of(attempt.child);
    watched = output.status();
    if (output.ok()) attempt.output = *std::move(output);
  }
  if (watched.ok()) watched = Watch(attempt);
  if (!watched.ok()) {
    attempt.child.Stop({.signal = SIGKILL}).IgnoreError();
    Forget(*record, attempt);
    return CannotStart(ENOSPC, "epoll_ctl", std::move(watched));
  }
  if (role != Attempt::Role::kSpare) Begin(record, attempt);
  return std::nullopt;
}

// One that has no process yet.
Attempt& Supervisor::MakeAttempt(const RecordPtr& record, Attempt::Role role, ControlSlotRef control) {
  const uint64_t token = next_token_++;
  AttemptRoom::Pointer owned = record->attempt_room.Make(timers_, [this, token] {
    if (const auto found = attempts_.find(token); found != attempts_.end()) {
      const auto [record, attempt] = found->second;
      OnTimer(record, *attempt);
    }
  });
  Attempt& attempt = *owned;
  attempt.id = token;
  attempt.control = std::move(control);
  if (TargetOf(*record) == StopTarget::kTree) attempt.cgroup = MakeCgroup(token);
  ListFds();
  unlisted_ = &attempt;
  attempts_.emplace(token, Watched{record, &attempt});
  record->attempts.push_back(std::move(owned));
  attempt.role = role;
  if (role != Attempt::Role::kSpare) Number(*record, attempt, role);
  return attempt;
}

// Of one that is reaped, or never was.
void Supervisor::Forget(ProcessRecord& record, Attempt& attempt) {
  if (unlisted_ == &attempt) {
    unlisted_ = nullptr;
  } else {
    attempt.ForEachFd([this](int fd) { fds_.Remove(fd); });
  }
  may_ring_.erase(attempt.id);
  attempts_.erase(attempt.id);
  SlotsOf(record).Free(std::move(attempt.control));
  record.attempts.erase(std::find_if(record.attempts.begin(), record.attempts.end(),
                                     [&](const auto& each) { return each.get() == &attempt; }));
}

// Those of the newest attempt are for its successors to close, so there is time until the next fork.
void Supervisor::ListFds() {
  if (unlisted_ != nullptr) unlisted_->ForEachFd([this](int fd) { fds_.Add(fd); });
  unlisted_ = nullptr;
}

std::variant<Child, ExitStatus> Supervisor::StartProcess(const RecordPtr& record, Attempt& attempt,
                                                         const AttemptFacts& facts) {
  if (record->spec.command != nullptr) return StartCommand(*record, attempt);
  if (record->spec.body->served() != nullptr) return ServeAttempt(*record, attempt, facts);
  return ForkAttempt(*record, attempt, facts);
}

[[gnu::noinline]] std::variant<Child, ExitStatus> Supervisor::StartCommand(const ProcessRecord& record,
                                                                           const Attempt& attempt) {
  absl::StatusOr<std::vector<std::string>> environment = EnvironmentFor(record);
  if (!environment.ok()) return CannotStart(EMFILE, "socket", environment.status());
  std::variant<Child, ExitStatus> started =
      record.spec.command->Start({.open_files = fd_limit_.original(),
                                  .target = TargetOf(record),
                                  .environment = *std::move(environment)});
  if (const Child* child = std::get_if<Child>(&started)) Confine(*child, attempt);
  return started;
}

[[gnu::noinline]] std::variant<Child, ExitStatus> Supervisor::ServeAttempt(const ProcessRecord& record,
                                                                           const Attempt& attempt,
                                                                           const AttemptFacts& facts) {
  const os::ScopedAllSignalsBlocked blocked;  // in the new process, too, until it has its Self
  const ServedLaunch launch{
      .facts = facts, .control_offset = record.region->OffsetOf(attempt.control), .mask = blocked.previous()};
  absl::StatusOr<Child> child =
      record.spec.body->served()->launch(launch, PassedFd{record.region->fd()}, PassedFd{kernel_->bell.fd()});
  if (!child.ok()) {
    const int error_number = absl::IsResourceExhausted(child.status()) ? EMFILE : EAGAIN;
    return CannotStart(error_number, "fork server", child.status());
  }
  Confine(*child, attempt);
  return *std::move(child);
}

// What it may have started before is found by its session.
void Supervisor::Confine(const Child& child, const Attempt& attempt) {
  if (attempt.cgroup.has_value()) attempt.cgroup->Add(child.pid()).IgnoreError();
}

AttemptFacts Supervisor::FactsOf(const ProcessRecord& record, const Attempt& attempt,
                                 const Attempt* followed) {
  return {.attempt = attempt.number,
          .slot = record.spec.slot,
          .max_tasks = record.spec.options.recycle.max_tasks,
          .target = TargetOf(record),
          .takes_self = record.spec.body->takes_self(),
          .is_spare = attempt.role == Attempt::Role::kSpare,
          .is_followed = record.region == nullptr && KeepsSpare(record),
          .followed = followed != nullptr ? followed->control.get() : nullptr,
          .followed_pid = followed != nullptr ? followed->pid() : 0};
}

absl::Status Supervisor::Watch(const Attempt& attempt) {
  const int pidfd = attempt.child.pidfd();
  if (absl::Status added = kernel_->epoll.Add(pidfd, attempt.id, kEndEvents); !added.ok()) return added;
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

// It is the process's next attempt.
void Supervisor::Number(ProcessRecord& record, Attempt& attempt, Attempt::Role role) {
  attempt.role = role;
  attempt.number = ++record.attempt;
  if (record.spec.body->takes_self()) may_ring_.insert(attempt.id);
  if (record.spec.options.recycle.max_age != absl::InfiniteDuration()) attempt.spread = Random();
  if (role == Attempt::Role::kCurrent) {
    record.state = ProcessRecord::State::kRunning;
    record.ready_announced = false;
  }
}

// It runs its body from now on.
void Supervisor::Begin(const RecordPtr& record, Attempt& attempt) {
  const ProcessOptions& options = record->spec.options;
  attempt.started_at = os::MonotonicNow();
  if (options.recycle.watches_memory()) {
    attempt.memory_check_at = attempt.started_at + options.recycle.memory_interval;
  }
  Tell(*record, &attempt, ProcessEvent::Kind::kStarted);
  Check(record, attempt);
}

// --- in the child -----------------------------------------------------------------------------------------------------

namespace {

// The supervisors whose bodies this process runs, one within the other, the newest first: each lies on the stack of its fork.
struct RunningBody {
  const Supervisor* supervisor;
  const RunningBody* outer;
};
// In the page of the thread that the kernel has to copy for each child.
constinit thread_local const RunningBody* running_bodies = nullptr;

}  // namespace

// On the stack, and so small in the callables that they need no memory: what lies on the heap the child would have to copy, only
// to free it. It stays there for the child's whole life, which does not return from the fork.
struct Supervisor::Launch {
  RunningBody running;
  ProcessRecord& record;
  Attempt& attempt;
  const AttemptFacts& facts;
  std::unique_ptr<Self> self = nullptr;  // in the child, where the body takes one
};

std::variant<Child, ExitStatus> Supervisor::ForkAttempt(ProcessRecord& record, Attempt& attempt,
                                                        const AttemptFacts& facts) {
  Launch launch = {{this, running_bodies}, record, attempt, facts};
  ForkOptions options;
  options.die_with_parent = true;
  options.setup = [this, &launch] { return EnterChild(launch); };
  return TryFork([&launch] { return (*launch.record.spec.body)(launch.self.get()); }, std::move(options),
                 &report_slots_);
}

// With all signals blocked. Closes what is the parent's by the numbers alone, and leaves this as it is for as long as the child
// lives: to destroy thousands of records is to copy the memory that they lie in, and what they own is closed already.
KO_CHILD_CODE absl::Status Supervisor::EnterChild(Launch& launch) {
  running_bodies = &launch.running;
  fds_.CloseAll(/*kept=*/launch.facts.takes_self ? kernel_->bell.fd() : -1);
  fd_limit_.Restore();
  if (launch.attempt.cgroup.has_value()) {
    launch.attempt.cgroup->AddSelf().IgnoreError();  // the session is left
    launch.attempt.cgroup.reset();
  }
  absl::StatusOr<std::unique_ptr<Self>> self =
      EnterAttempt(launch.facts, launch.attempt.control, launch.record.memory,
                   launch.facts.takes_self ? std::move(kernel_->bell) : os::EventFd());
  if (self.ok()) launch.self = *std::move(self);
  return self.status();
}

bool Supervisor::HoldsRunningBody() const {
  if (::gettid() != ::getpid()) return true;  // a thread that the body may have started, which cannot know
  for (const RunningBody* each = running_bodies; each != nullptr; each = each->outer) {
    if (each->supervisor == this) return true;
  }
  return false;
}

}  // namespace ko
