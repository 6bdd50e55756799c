#include "ko/manager/supervisor.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "ko/os/terminal_interrupt.h"
#include "ko/process/fork.h"

namespace ko {
namespace {

// What epoll calls its members; greater ones are record ids.
constexpr uint64_t kSignalsToken = 0;
constexpr uint64_t kTimerToken = 1;
constexpr uint64_t kBellToken = 2;
constexpr uint64_t kFirstRecordId = 16;

}  // namespace

Supervisor::Supervisor() : owner_(::getpid()), next_id_(kFirstRecordId) {}

Supervisor::~Supervisor() { Close(); }

bool Supervisor::IsOwnedByThisProcess() const { return owner_ == ::getpid(); }

absl::Status Supervisor::EnsureOpen() {
  if (!IsOwnedByThisProcess()) DropEverything();
  if (kernel_.has_value()) return absl::OkStatus();

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

  kernel_.emplace(*std::move(epoll), *std::move(timer), *std::move(bell), *std::move(signals));
  absl::Status subscribed = SubscribeSignals();
  if (!subscribed.ok()) kernel_.reset();
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
  for (const auto& [id, record] : records_) record->child.reset();
  records_.clear();
  not_ready_.clear();
  timers_.clear();
  events_.clear();
  callbacks_.clear();
  shutdown_handlers_.clear();
  kernel_.reset();
  control_slots_ = ControlSlots();
  fd_limit_.Restore();
  fd_limit_ = os::FdLimit();
  shutting_down_ = false;
  owner_ = ::getpid();
}

void Supervisor::AdoptCurrentProcess() { owner_ = ::getpid(); }

// --- starting ---------------------------------------------------------------------------------------------------------

std::shared_ptr<ProcessRecord> Supervisor::Start(ManagedBody body, std::optional<RestartPolicy> policy) {
  absl::Status open = EnsureOpen();
  auto record = std::make_shared<ProcessRecord>(std::move(body));
  record->supervisor = weak_from_this();
  record->id = next_id_++;
  records_.emplace(record->id, record);

  const auto refuse = [&](int error_number, absl::Status why) {
    OnAttemptEnd(record, ExitStatus::NotStarted(error_number, "start").WithReason(std::move(why)));
    return record;
  };
  if (!open.ok()) return refuse(EMFILE, std::move(open));
  if (!record->body) return refuse(EINVAL, absl::InvalidArgumentError("ProcessManager: the body is empty"));
  if (shutting_down_) return refuse(ECANCELED, absl::CancelledError("ProcessManager: it is shutting down"));
  if (policy.has_value()) {
    if (absl::Status valid = policy->Validate(); !valid.ok()) return refuse(EINVAL, std::move(valid));
  }
  absl::StatusOr<ControlSlotRef> control = control_slots_.Allocate();
  if (!control.ok()) return refuse(ENOMEM, control.status());

  record->control = *std::move(control);
  if (policy.has_value()) record->restart.emplace(*policy);
  StartAttempt(record);
  return record;
}

void Supervisor::StartAttempt(const RecordPtr& record) {
  ++record->attempt;
  record->restarts = record->attempt - 1;
  record->state = ProcessRecord::State::kRunning;
  record->started_at = os::MonotonicNow();
  record->ready_announced = false;

  std::variant<Child, ExitStatus> started = ForkAttempt(record);
  if (auto* status = std::get_if<ExitStatus>(&started);
      status != nullptr && status->start_error() == EMFILE && fd_limit_.Raise()) {
    started = ForkAttempt(record);
  }
  if (auto* status = std::get_if<ExitStatus>(&started)) return OnAttemptEnd(record, std::move(*status));

  Child& child = std::get<Child>(started);
  if (absl::Status added = kernel_->epoll.Add(child.pidfd(), record->id); !added.ok()) {
    child.Stop({.signal = SIGKILL}).IgnoreError();
    return OnAttemptEnd(record, ExitStatus::NotStarted(ENOSPC, "epoll_ctl").WithReason(std::move(added)));
  }
  fd_limit_.MakeRoomBeyond(child.pidfd());
  record->pid = child.pid();
  record->child = std::move(child);
  not_ready_.insert(record);
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
  absl::StatusOr<std::unique_ptr<Self>> self = Self::Create(record.attempt, record.control, std::move(bell));
  if (!self.ok()) return self.status();
  self_ = *std::move(self);
  return absl::OkStatus();
}

// --- ending -----------------------------------------------------------------------------------------------------------

void Supervisor::OnAttemptEnd(const RecordPtr& record, ExitStatus status) {
  if (record->child.has_value()) {
    NoticeReady(record);  // it may have been ready, and gone, since the last look
    kernel_->epoll.Remove(record->child->pidfd());
    record->child.reset();
  }
  record->pid = 0;
  record->status = status;
  not_ready_.erase(record);
  SetTimer(*record, absl::InfiniteDuration());

  bool restart = false;
  if (record->restart.has_value() && !record->stopping && !shutting_down_ && !closed_) {
    const absl::Duration now = os::MonotonicNow();
    const RestartTracker::Decision decision =
        record->restart->OnEnd(status, now - record->started_at, now, absl::Uniform(random_, 0.0, 1.0));
    restart = decision.action == RestartTracker::Action::kRestart;
    if (restart) {
      record->state = ProcessRecord::State::kAwaitingRestart;
      SetTimer(*record, now + decision.delay);
    }
  }
  events_.push_back({record, ProcessHandler::Event::kExit, std::move(status), /*is_last_exit=*/!restart});
  if (!restart) EndForGood(record);
}

void Supervisor::EndForGood(const RecordPtr& record) {
  record->state = ProcessRecord::State::kEnded;
  SetTimer(*record, absl::InfiniteDuration());
  control_slots_.Free(std::exchange(record->control, {}));
  record->body = ManagedBody([] {});  // frees what the user's held
  records_.erase(record->id);
}

absl::Status Supervisor::Kill(ProcessRecord& record, int signo) {
  if (signo <= 0 || signo > SIGRTMAX) {
    return absl::InvalidArgumentError("Process: Kill was given a number that is no signal");
  }
  return record.child.has_value() ? record.child->Kill(signo) : absl::OkStatus();
}

void Supervisor::RequestStop(const RecordPtr& record, const StopPolicy& policy) {
  if (record->state == ProcessRecord::State::kEnded) return;
  if (record->state == ProcessRecord::State::kAwaitingRestart) {
    record->stopping = true;
    record->exit_announced = true;  // its last exit was announced when the wait began
    return EndForGood(record);
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
    std::vector<RecordPtr> newest_first;
    for (auto it = records_.rbegin(); it != records_.rend(); ++it) newest_first.push_back(it->second);
    for (const RecordPtr& record : newest_first) RequestStop(record, policy);
  };
  if (std::exchange(shutting_down_, true)) return;
  for (auto& handler : std::exchange(shutdown_handlers_, {})) handler();
}

void Supervisor::Close() {
  if (std::exchange(closed_, true)) return;
  if (!IsOwnedByThisProcess()) return DropEverything();
  shutdown_handlers_.clear();
  BeginShutdown(stop_policy_);
  if (kernel_.has_value()) kernel_->epoll.Remove(kernel_->signals.poll_fd());  // the user's handlers are not for now
  while (!records_.empty()) {
    // Where not even waiting works any more, the children's owners kill and reap them.
    if (!Collect(os::Deadline::After(absl::InfiniteDuration())).ok()) records_.clear();
  }
  events_.clear();
  callbacks_.clear();
  kernel_.reset();
}

// --- events -----------------------------------------------------------------------------------------------------------

absl::StatusOr<bool> Supervisor::RunUntil(absl::FunctionRef<bool()> done, const os::Deadline& deadline) {
  const auto keep_alive = shared_from_this();  // a handler may destroy the manager
  for (;;) {
    absl::StatusOr<int> count = RunOnce(os::Deadline::After(absl::ZeroDuration()));
    if (!count.ok()) return count.status();
    if (done()) return true;
    if (*count > 0) continue;
    if (deadline.expired()) return false;
    count = RunOnce(deadline);
    if (!count.ok()) return count.status();
    if (done()) return true;
  }
}

absl::StatusOr<int> Supervisor::RunOnce(const os::Deadline& deadline) {
  const auto keep_alive = shared_from_this();
  if (absl::Status open = EnsureOpen(); !open.ok()) return open;
  const int told_before = RunCallbacks();
  absl::StatusOr<int> collected = Collect(told_before > 0 ? os::Deadline::After(absl::ZeroDuration()) : deadline);
  if (!collected.ok()) return collected;
  RunCallbacks();
  if (closed_) return absl::CancelledError("ProcessManager: destroyed by one of its handlers");
  return told_before + *collected;
}

absl::StatusOr<int> Supervisor::Collect(const os::Deadline& deadline) {
  std::array<uint64_t, 64> room;
  absl::StatusOr<absl::Span<const uint64_t>> tokens = kernel_->epoll.Wait(absl::MakeSpan(room), deadline);
  if (!tokens.ok()) return tokens.status();
  int count = 0;
  for (uint64_t token : *tokens) count += HandleToken(token);
  return count + HandleTimers();
}

int Supervisor::HandleToken(uint64_t token) {
  switch (token) {
    case kSignalsToken:
      return kernel_.has_value() ? kernel_->signals.Dispatch().value_or(0) : 0;
    case kTimerToken:
      return 0;  // HandleTimers follows every round
    case kBellToken:
      return NoticeAllReady();
    default:
      return ReapIfEnded(token);
  }
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
  if (!kernel_.has_value()) return 0;
  kernel_->bell.Drain();
  const std::vector<RecordPtr> candidates(not_ready_.begin(), not_ready_.end());
  return static_cast<int>(
      std::count_if(candidates.begin(), candidates.end(), [this](const RecordPtr& each) { return NoticeReady(each); }));
}

bool Supervisor::NoticeReady(const RecordPtr& record) {
  // Pairs with the exchange in Self::NotifyReady.
  const uint32_t ready = record->control->ready_attempt.load(std::memory_order_acquire);
  if (record->last_ready_attempt == record->attempt || ready != static_cast<uint32_t>(record->attempt)) return false;
  record->last_ready_attempt = record->attempt;
  not_ready_.erase(record);
  events_.push_back({record, ProcessHandler::Event::kReady, ExitStatus::Exited(0), /*is_last_exit=*/false});
  return true;
}

// --- handlers ---------------------------------------------------------------------------------------------------------

void Supervisor::AddHandler(const RecordPtr& record, ProcessHandler handler) {
  auto shared = std::make_shared<ProcessHandler>(std::move(handler));
  const bool is_for_ready = shared->event == ProcessHandler::Event::kReady;
  if (is_for_ready ? record->ready_announced : (record->exit_announced && shared->IsFor(*record->status))) {
    callbacks_.push_back([shared, status = record->status] { shared->run(status.value_or(ExitStatus::Exited(0))); });
  }
  if (!record->exit_announced) record->handlers.push_back(std::move(shared));
}

void Supervisor::AddShutdownHandler(absl::AnyInvocable<void()> handler) {
  if (!IsOwnedByThisProcess()) DropEverything();
  if (shutting_down_) {
    callbacks_.push_back(std::move(handler));
  } else {
    shutdown_handlers_.push_back(std::move(handler));
  }
}

// Each callback is taken off the queue before it runs: one that throws does not run twice, and does not keep the others
// from running at the next call.
int Supervisor::RunCallbacks() {
  int count = 0;
  while (!closed_ && (!callbacks_.empty() || !events_.empty())) {
    if (callbacks_.empty()) {
      Event event = std::move(events_.front());
      events_.pop_front();
      ExpandEvent(std::move(event));
      ++count;
      continue;
    }
    absl::AnyInvocable<void()> callback = std::move(callbacks_.front());
    callbacks_.pop_front();
    callback();
    ++count;
  }
  return count;
}

void Supervisor::ExpandEvent(Event event) {
  using Kind = ProcessHandler::Event;
  ProcessRecord& record = *event.record;
  const auto call = [&](const std::shared_ptr<ProcessHandler>& handler) {
    callbacks_.push_back([handler, status = event.status] { handler->run(status); });
  };
  if (event.kind == Kind::kReady) {
    record.ready_announced = record.last_ready_attempt == record.attempt;
    for (const auto& handler : record.handlers) {
      if (handler->event == Kind::kReady) call(handler);
    }
    return;
  }
  for (const auto& handler : record.handlers) {
    if (handler->event != Kind::kExit && handler->IsFor(event.status)) call(handler);
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
  if (kernel_.has_value()) kernel_->timer.Set(timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first);
}

}  // namespace ko
