#include "ko/manager/supervisor.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ko/os/terminal_interrupt.h"
#include "ko/process/fork.h"

namespace ko {
namespace {

// What epoll calls its members; greater ones are record ids.
constexpr uint64_t kSignalsToken = 0;
constexpr uint64_t kTimerToken = 1;
constexpr uint64_t kBellToken = 2;
constexpr uint64_t kFirstRecordId = 16;
// A record's id with one of these is its command's standard output or error.
constexpr uint64_t kOutputTokens[ManagedCommand::kStreams] = {uint64_t{1} << 62, uint64_t{1} << 63};

// How many events a round takes from the kernel.
constexpr size_t kBatch = 64;

absl::Status ClosedByHandler() {
  return absl::CancelledError("ProcessManager: destroyed by one of its handlers");
}

// What handlers of readiness are given.
ExitEvent NoExit() { return {.status = ExitStatus::Exited(0)}; }

}  // namespace

Supervisor::Supervisor() : owner_(::getpid()), next_id_(kFirstRecordId) {}

Supervisor::~Supervisor() { Close(); }

bool Supervisor::IsOwnedByThisProcess() const { return owner_ == ::getpid(); }

void Supervisor::EnsureOwned() {
  if (!IsOwnedByThisProcess()) DropEverything();
}

absl::Status Supervisor::EnsureOpen() {
  EnsureOwned();
  if (kernel_ != nullptr) return absl::OkStatus();

  absl::StatusOr<os::Epoll> epoll = os::Epoll::Create();
  if (!epoll.ok()) return epoll.status();
  absl::StatusOr<os::TimerFd> timer = os::TimerFd::Create();
  if (!timer.ok()) return timer.status();
  absl::StatusOr<os::EventFd> bell = os::EventFd::Create();
  if (!bell.ok()) return bell.status();
  absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
  if (!signals.ok()) return signals.status();
  if (absl::Status added = epoll->Add(signals->poll_fd(), kSignalsToken); !added.ok()) return added;
  if (absl::Status added = epoll->Add(timer->fd(), kTimerToken); !added.ok()) return added;
  if (absl::Status added = epoll->Add(bell->fd(), kBellToken); !added.ok()) return added;

  kernel_ = std::make_shared<Kernel>(Kernel{*std::move(epoll), *std::move(timer), *std::move(bell),
                                            *std::move(signals), os::OomKills::Open()});
  absl::Status subscribed = SubscribeSignals();
  if (!subscribed.ok()) kernel_.reset();
  RingForUntold();
  return subscribed;
}

absl::Status Supervisor::SubscribeSignals() {
  const auto shut_down = [this](const SignalInfo&) { BeginShutdown(stop_policy_); };
  const bool take_interrupts = !os::InterruptsAreIgnored() && !os::TerminalInterruptsAreLeftToParent();
  if (absl::Status on = kernel_->signals.On(SIGTERM, shut_down); !on.ok()) return on;
  return take_interrupts ? kernel_->signals.On(SIGINT, shut_down) : absl::OkStatus();
}

// What was copied from the parent is nothing of this process's.
void Supervisor::DropEverything() {
  for (const auto& [id, record] : records_) {
    record->child.reset();
    record->command.reset();
    record->supervisor.reset();
  }
  records_.clear();
  not_ready_.clear();
  timers_.clear();
  events_.clear();
  callbacks_.clear();
  shutdown_handlers_.clear();
  kernel_.reset();
  control_slots_ = ControlSlots();
  fd_limit_.Restore();
  stop_policy_ = {};
  escalation_ = absl::OkStatus();
  shutting_down_ = false;
  owner_ = ::getpid();
}

void Supervisor::AdoptCurrentProcess() { owner_ = ::getpid(); }

// --- starting ---------------------------------------------------------------------------------------------------------

std::shared_ptr<ProcessRecord> Supervisor::Start(ManagedBody body, std::optional<RestartPolicy> policy) {
  return StartRecord(std::make_shared<ProcessRecord>(std::move(body)), policy);
}

std::shared_ptr<ProcessRecord> Supervisor::Start(Command command, std::optional<RestartPolicy> policy) {
  auto record = std::make_shared<ProcessRecord>(ManagedBody([] {}));
  record->command.emplace(std::move(command));
  return StartRecord(std::move(record), policy);
}

std::shared_ptr<ProcessRecord> Supervisor::StartRecord(std::shared_ptr<ProcessRecord> record,
                                                       std::optional<RestartPolicy> policy) {
  absl::Status open = EnsureOpen();
  record->supervisor = weak_from_this();
  record->id = next_id_++;
  records_.emplace(record->id, record);

  const auto refuse = [&](int error_number, absl::Status why) {
    record->attempt = 1;  // which failed
    OnAttemptEnd(record, ExitStatus::NotStarted(error_number, "start").WithReason(std::move(why)));
    RingForUntold();
    return record;
  };
  if (!open.ok()) return refuse(EMFILE, std::move(open));
  if (!record->body) return refuse(EINVAL, absl::InvalidArgumentError("ProcessManager: the body is empty"));
  if (record->command.has_value()) {
    if (absl::Status valid = record->command->Validate(); !valid.ok())
      return refuse(EINVAL, std::move(valid));
  }
  if (shutting_down_) return refuse(ECANCELED, absl::CancelledError("ProcessManager: it is shutting down"));
  if (policy.has_value()) {
    if (absl::Status valid = policy->Validate(); !valid.ok()) return refuse(EINVAL, std::move(valid));
  }
  absl::StatusOr<ControlSlotRef> control = control_slots_.Allocate();
  if (!control.ok()) return refuse(ENOMEM, control.status());
  absl::StatusOr<std::shared_ptr<SharedMemory>> memory = memory_slots_.Allocate();
  if (!memory.ok()) return refuse(ENOMEM, memory.status());

  record->control = *std::move(control);
  record->memory = *std::move(memory);
  if (policy.has_value()) record->restart.emplace(*policy);
  StartAttempt(record);
  RingForUntold();
  return record;
}

void Supervisor::StartAttempt(const RecordPtr& record) {
  ++record->attempt;
  record->restarts = record->attempt - 1;
  record->state = ProcessRecord::State::kRunning;
  record->started_at = os::MonotonicNow();
  record->ready_announced = false;
  oom_kills_seen_ = kernel_->oom_kills.Count().value_or(0);

  std::variant<Child, ExitStatus> started = StartProcess(record);
  if (auto* status = std::get_if<ExitStatus>(&started);
      status != nullptr && status->start_error() == EMFILE && fd_limit_.Raise()) {
    started = StartProcess(record);
  }
  if (auto* status = std::get_if<ExitStatus>(&started)) return OnAttemptEnd(record, std::move(*status));

  Child& child = std::get<Child>(started);
  if (absl::Status added = Watch(record, child); !added.ok()) {
    child.Stop({.signal = SIGKILL}).IgnoreError();
    return OnAttemptEnd(record, ExitStatus::NotStarted(ENOSPC, "epoll_ctl").WithReason(std::move(added)));
  }
  record->pid = child.pid();
  record->child = std::move(child);
  if (record->body.takes_self()) not_ready_.insert(record);
}

std::variant<Child, ExitStatus> Supervisor::StartProcess(const RecordPtr& record) {
  return record->command.has_value() ? record->command->Start(fd_limit_.original()) : ForkAttempt(record);
}

absl::Status Supervisor::Watch(const RecordPtr& record, const Child& child) {
  if (absl::Status added = kernel_->epoll.Add(child.pidfd(), record->id); !added.ok()) return added;
  fd_limit_.MakeRoomBeyond(child.pidfd());
  for (int stream = 0; record->command.has_value() && stream < ManagedCommand::kStreams; ++stream) {
    const int fd = record->command->fd(stream);
    if (fd < 0) continue;
    absl::Status added = kernel_->epoll.Add(fd, record->id | kOutputTokens[stream]);
    if (!added.ok()) {
      kernel_->epoll.Remove(child.pidfd());
      return added;
    }
    fd_limit_.MakeRoomBeyond(fd);
  }
  return absl::OkStatus();
}

std::variant<Child, ExitStatus> Supervisor::ForkAttempt(const RecordPtr& record) {
  ForkOptions options;
  options.die_with_parent = true;
  options.setup = [this, record] { return EnterChild(*record); };
  return TryFork([this, record] { return record->body(self_.get()); }, std::move(options));
}

// In the child, with all signals blocked: this becomes an empty supervisor of the child's own.
absl::Status Supervisor::EnterChild(ProcessRecord& record) {
  os::EventFd bell = std::move(kernel_->bell);
  DropEverything();
  os::LeaveTerminalInterruptsToParent();
  if (!record.body.takes_self()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Self>> self =
      Self::Create(record.attempt, record.control, record.memory, std::move(bell));
  if (!self.ok()) return self.status();
  self_ = *std::move(self);
  return absl::OkStatus();
}

// --- ending -----------------------------------------------------------------------------------------------------------

void Supervisor::OnAttemptEnd(const RecordPtr& record, ExitStatus status) {
  ExitEvent exit = TellEnd(*record, std::move(status));
  if (record->child.has_value()) {
    NoticeReady(record);  // it may have been ready, and gone, since the last look
    kernel_->epoll.Remove(record->child->pidfd());
    record->child.reset();
  }
  record->pid = 0;
  record->status = exit.status;
  record->exit = exit;
  not_ready_.erase(record);
  SetTimer(*record, absl::InfiniteDuration());

  const bool restart = DecideRestart(record, exit.status);
  events_.push_back({record, ProcessHandler::Event::kExit, std::move(exit), /*is_last_exit=*/!restart});
  if (!restart) EndForGood(record);
}

bool Supervisor::DecideRestart(const RecordPtr& record, const ExitStatus& status) {
  if (!record->restart.has_value() || record->stopping || shutting_down_ || closed_) return false;
  const absl::Duration now = os::MonotonicNow();
  const RestartTracker::Decision decision =
      record->restart->OnEnd(status, now - record->started_at, now, absl::Uniform(random_, 0.0, 1.0));
  switch (decision.action) {
    case RestartTracker::Action::kRestart:
      record->state = ProcessRecord::State::kAwaitingRestart;
      SetTimer(*record, now + decision.delay);
      return true;
    case RestartTracker::Action::kEscalate:
      Escalate(*record, status);
      break;
    case RestartTracker::Action::kStayDown:
    case RestartTracker::Action::kGiveUp:
      break;
  }
  return false;
}

// The shutdown runs handlers of the user's, and a start that failed comes here outside Dispatch and Wait: it has its turn
// with the other callbacks. The first one's word is kept.
void Supervisor::Escalate(const ProcessRecord& record, const ExitStatus& status) {
  if (!escalation_.ok()) return;
  escalation_ = absl::AbortedError(
      absl::StrCat("ProcessManager: shut down, as a process reached its limit of restarts at attempt ",
                   record.attempt, ": ", status.ToString()));
  callbacks_.push_back([this] { BeginShutdown(stop_policy_); });
}

// With the child still there, where there was one.
ExitEvent Supervisor::TellEnd(ProcessRecord& record, ExitStatus status) {
  ExitEvent exit{.status = std::move(status), .attempt = record.attempt};
  if (record.child.has_value()) {
    exit.pid = record.pid;
    exit.run_time = os::MonotonicNow() - record.started_at;
    exit.usage = record.child->usage();
    exit.oom_killed = TakeOomKill(exit.status);
  }
  if (record.command.has_value()) {
    for (int stream = 0; stream < ManagedCommand::kStreams; ++stream) {
      record.command->Drain(stream);  // what it wrote last
      CloseOutput(record, stream);
    }
    exit.last_lines = record.command->LastLines();
    if (!exit.status.ok()) {
      exit.status = exit.status.WithLastOutput(absl::StrJoin(exit.last_lines, "\n"));
    }
  }
  return exit;
}

// Each kill that the kernel has counted is one attempt's end.
bool Supervisor::TakeOomKill(const ExitStatus& status) {
  if (status.term_signal() != SIGKILL || kernel_ == nullptr) return false;
  if (kernel_->oom_kills.Count().value_or(0) <= oom_kills_seen_) return false;
  ++oom_kills_seen_;
  return true;
}

void Supervisor::CloseOutput(ProcessRecord& record, int stream) {
  if (kernel_ != nullptr && record.command->fd(stream) >= 0)
    kernel_->epoll.Remove(record.command->fd(stream));
  record.command->Close(stream);
}

void Supervisor::EndForGood(const RecordPtr& record) {
  record->state = ProcessRecord::State::kEnded;
  SetTimer(*record, absl::InfiniteDuration());
  control_slots_.Free(std::exchange(record->control, {}));
  record->body = ManagedBody([] {});  // frees what the user's held
  record->command.reset();
  records_.erase(record->id);
}

// Stopped while it waits for its next attempt: the last one's end, which was told as one of several, has become the end.
void Supervisor::EndBetweenAttempts(const RecordPtr& record) {
  const auto untold_end = std::find_if(events_.begin(), events_.end(), [&](const Event& event) {
    return event.record == record && event.kind == ProcessHandler::Event::kExit;
  });
  if (untold_end != events_.end()) {
    untold_end->is_last_exit = true;
  } else {
    record->exit_announced = true;
    record->handlers.clear();
  }
  EndForGood(record);
}

absl::Status Supervisor::CheckSignal(int signo) {
  if (signo > 0 && signo <= SIGRTMAX) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ProcessManager: ", signo, " is no signal"));
}

absl::Status Supervisor::Kill(ProcessRecord& record, int signo) {
  if (absl::Status valid = CheckSignal(signo); !valid.ok()) return valid;
  return record.child.has_value() ? record.child->Kill(signo) : absl::OkStatus();
}

void Supervisor::RequestStop(const RecordPtr& record, const StopPolicy& policy) {
  if (record->state == ProcessRecord::State::kEnded) return;
  if (record->state == ProcessRecord::State::kAwaitingRestart) {
    return EndBetweenAttempts(record);
  }
  const absl::Duration now = os::MonotonicNow();
  absl::Duration kill_at = now + std::max(policy.grace, absl::ZeroDuration());
  if (record->stopping) kill_at = std::min(kill_at, record->timer_at);
  record->stopping = true;
  if (kill_at <= now) {
    record->child->Kill(SIGKILL).IgnoreError();
    return SetTimer(*record, absl::InfiniteDuration());
  }
  record->child->Kill(policy.signal).IgnoreError();
  record->child->Kill(SIGCONT).IgnoreError();  // a stopped one hears the other signal only then
  SetTimer(*record, kill_at);
}

void Supervisor::BeginShutdown(const StopPolicy& policy) {
  const absl::Cleanup stop_all = [this, policy] {
    if (!IsOwnedByThisProcess()) return;  // a handler forked, and this is the child
    // Those that one of them kept from running, by what it threw.
    for (auto& handler : std::exchange(shutdown_handlers_, {})) callbacks_.push_back(std::move(handler));
    RingForUntold();
    std::vector<RecordPtr> newest_first;
    for (auto it = records_.rbegin(); it != records_.rend(); ++it) newest_first.push_back(it->second);
    for (const RecordPtr& record : newest_first) RequestStop(record, policy);
  };
  if (std::exchange(shutting_down_, true)) return;
  while (!shutdown_handlers_.empty() && IsOwnedByThisProcess()) {
    absl::AnyInvocable<void()> handler = std::move(shutdown_handlers_.front());
    shutdown_handlers_.pop_front();
    handler();
  }
}

void Supervisor::Close() {
  if (std::exchange(closed_, true)) return;
  if (!IsOwnedByThisProcess()) return DropEverything();
  shutdown_handlers_.clear();
  BeginShutdown(stop_policy_);
  // The handlers that the program gave to signals() are not for now.
  if (kernel_ != nullptr) kernel_->epoll.Remove(kernel_->signals.poll_fd());
  while (!records_.empty()) {
    // Where not even waiting works any more, the children's owners kill and reap them.
    if (!Collect(os::Deadline::After(absl::InfiniteDuration())).ok()) records_.clear();
  }
  // A handler may hold a handle of its own process, which holds the handler.
  for (const Event& event : events_) event.record->handlers.clear();
  events_.clear();
  callbacks_.clear();
  kernel_.reset();
  fd_limit_.Restore();
}

void Supervisor::SetStopPolicy(const StopPolicy& policy) {
  EnsureOwned();
  stop_policy_ = policy;
}

// --- events -----------------------------------------------------------------------------------------------------------

absl::StatusOr<bool> Supervisor::RunUntil(absl::FunctionRef<bool()> done, const os::Deadline& deadline) {
  const auto keep_alive = shared_from_this();                      // a handler may destroy the manager
  os::Deadline until = os::Deadline::After(absl::ZeroDuration());  // at first, what has happened already
  size_t last_rounds = 0;
  for (bool over = false;;) {
    absl::StatusOr<int> count = RunOnce(until);
    if (closed_) return ClosedByHandler();
    if (done()) return true;
    if (!count.ok()) return count.status();
    // Events that never cease, those of a crash loop say, do not put the deadline off.
    if (over && (*count == 0 || last_rounds-- == 0)) return false;
    if (!over && deadline.expired()) {
      over = true;
      last_rounds = records_.size() / kBatch + 1;
    }
    until = deadline;
  }
}

absl::StatusOr<int> Supervisor::RunOnce(const os::Deadline& deadline) {
  const auto keep_alive = shared_from_this();
  EnsureOwned();
  auto count = static_cast<int>(untold());
  RunCallbacks();
  do {
    if (closed_) return ClosedByHandler();
    if (absl::Status open = EnsureOpen(); !open.ok()) return count > 0 ? absl::StatusOr<int>(count) : open;
    absl::StatusOr<int> collected = Collect(count > 0 ? os::Deadline::After(absl::ZeroDuration()) : deadline);
    if (!collected.ok()) return collected;
    count += *collected;
    RunCallbacks();
    if (closed_) return ClosedByHandler();
  } while (count == 0 && !deadline.expired());  // a bell may have rung for what had been seen
  return count;
}

absl::StatusOr<int> Supervisor::Collect(const os::Deadline& deadline) {
  std::array<uint64_t, kBatch> room;
  absl::StatusOr<absl::Span<const uint64_t>> tokens = kernel_->epoll.Wait(absl::MakeSpan(room), deadline);
  if (!tokens.ok()) return tokens.status();
  int count = 0;
  for (uint64_t token : *tokens) {
    count += HandleToken(token);
    // A signal's handler closed this, or forked, and this is the child.
    if (kernel_ == nullptr || !IsOwnedByThisProcess()) return count;
  }
  return count + HandleTimers();
}

int Supervisor::HandleToken(uint64_t token) {
  switch (token) {
    case kSignalsToken: {
      const std::shared_ptr<Kernel> kernel = kernel_;
      return kernel == nullptr ? 0 : kernel->signals.Dispatch().value_or(0);
    }
    case kTimerToken:
      return 0;  // HandleTimers follows every round
    case kBellToken:
      return NoticeAllReady();
    default:
      break;
  }
  for (int stream = 0; stream < ManagedCommand::kStreams; ++stream) {
    if ((token & kOutputTokens[stream]) == 0) continue;
    TakeOutput(token & ~kOutputTokens[stream], stream);
    return 0;  // nothing that a caller of Dispatch waits for
  }
  return ReapIfEnded(token);
}

void Supervisor::TakeOutput(uint64_t id, int stream) {
  const auto found = records_.find(id);
  if (found == records_.end() || !found->second->command.has_value()) return;
  ProcessRecord& record = *found->second;
  if (!record.command->Drain(stream)) CloseOutput(record, stream);
}

int Supervisor::HandleTimers() {
  int count = 0;
  const absl::Duration now = os::MonotonicNow();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const RecordPtr record = records_.at(timers_.begin()->second);
    SetTimer(*record, absl::InfiniteDuration());
    if (record->state == ProcessRecord::State::kAwaitingRestart) {
      StartAttempt(record);
    } else {
      record->child->Kill(SIGKILL).IgnoreError();
    }
    ++count;
  }
  return count;
}

int Supervisor::ReapIfEnded(uint64_t id) {
  const auto found = records_.find(id);
  if (found == records_.end() || !found->second->child.has_value()) return 0;
  const RecordPtr record = found->second;
  std::optional<ExitStatus> status = record->child->TryWait();
  if (!status.has_value()) return 0;
  OnAttemptEnd(record, *std::move(status));
  return 1;
}

int Supervisor::NoticeAllReady() {
  if (kernel_ == nullptr) return 0;
  kernel_->bell.Drain();
  const std::vector<RecordPtr> candidates(not_ready_.begin(), not_ready_.end());
  return static_cast<int>(std::count_if(candidates.begin(), candidates.end(),
                                        [this](const RecordPtr& each) { return NoticeReady(each); }));
}

bool Supervisor::NoticeReady(const RecordPtr& record) {
  // Pairs with the exchange in Self::NotifyReady.
  const uint32_t ready = record->control->ready_attempt.load(std::memory_order_acquire);
  if (record->last_ready_attempt == record->attempt || ready != static_cast<uint32_t>(record->attempt))
    return false;
  record->last_ready_attempt = record->attempt;
  not_ready_.erase(record);
  events_.push_back({record, ProcessHandler::Event::kReady, NoExit(), /*is_last_exit=*/false});
  return true;
}

// --- handlers ---------------------------------------------------------------------------------------------------------

void Supervisor::AddHandler(const RecordPtr& record, ProcessHandler handler) {
  auto shared = std::make_shared<ProcessHandler>(std::move(handler));
  if (shared->event == ProcessHandler::Event::kReady) {
    if (record->ready_announced) callbacks_.push_back([shared] { shared->run(NoExit()); });
    if (!record->exit_announced) record->handlers.push_back(std::move(shared));
  } else {
    // Those that come late share an event of their own.
    if (record->exit_announced && record->handlers.empty()) {
      events_.push_back({record, ProcessHandler::Event::kExit, *record->exit, /*is_last_exit=*/true});
    }
    record->handlers.push_back(std::move(shared));
  }
  RingForUntold();
}

void Supervisor::AddShutdownHandler(absl::AnyInvocable<void()> handler) {
  EnsureOpen().IgnoreError();  // from now on a SIGTERM is to find it
  if (shutting_down_) {
    callbacks_.push_back(std::move(handler));
    RingForUntold();
  } else {
    shutdown_handlers_.push_back(std::move(handler));
  }
}

// Makes poll_fd readable until the handlers that are due have run.
void Supervisor::RingForUntold() {
  if (untold() > 0 && kernel_ != nullptr && IsOwnedByThisProcess()) kernel_->bell.Notify();
}

// Each callback is taken off the queue before it runs: one that throws does not run twice, and does not keep the others
// from running at the next call. A callback may fork by itself: in the child the others are the parent's.
void Supervisor::RunCallbacks() {
  const absl::Cleanup ring_where_one_threw = [this] { RingForUntold(); };
  while (!closed_ && untold() > 0 && IsOwnedByThisProcess()) {
    if (callbacks_.empty()) {
      Event event = std::move(events_.front());
      events_.pop_front();
      ExpandEvent(std::move(event));
      continue;
    }
    absl::AnyInvocable<void()> callback = std::move(callbacks_.front());
    callbacks_.pop_front();
    callback();
  }
}

void Supervisor::ExpandEvent(Event event) {
  using Kind = ProcessHandler::Event;
  ProcessRecord& record = *event.record;
  const auto call = [&](const std::shared_ptr<ProcessHandler>& handler) {
    callbacks_.push_back([handler, exit = event.exit] { handler->run(exit); });
  };
  if (event.kind == Kind::kReady) {
    record.ready_announced = record.last_ready_attempt == record.attempt;
    for (const auto& handler : record.handlers) {
      if (handler->event == Kind::kReady) call(handler);
    }
    return;
  }
  for (const auto& handler : record.handlers) {
    if (handler->event != Kind::kExit && handler->IsFor(event.exit.status)) call(handler);
  }
  for (const auto& handler : record.handlers) {
    if (handler->event == Kind::kExit) call(handler);
  }
  if (event.is_last_exit) {
    record.exit_announced = true;
    record.handlers.clear();
  }
}

// --- timers -----------------------------------------------------------------------------------------------------------

void Supervisor::SetTimer(ProcessRecord& record, absl::Duration at) {
  if (record.timer_at != absl::InfiniteDuration()) timers_.erase({record.timer_at, record.id});
  record.timer_at = at;
  if (at != absl::InfiniteDuration()) timers_.insert({at, record.id});
  ArmTimer();
}

void Supervisor::ArmTimer() {
  if (kernel_ != nullptr)
    kernel_->timer.Set(timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first);
}

}  // namespace ko
