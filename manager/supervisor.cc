#include "ko/manager/supervisor.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ko/manager/supervisor_tokens.h"
#include "ko/os/in_one_page.h"
#include "ko/os/process_mark.h"
#include "ko/os/terminal_interrupt.h"

namespace ko {
namespace {

// How many events a round takes from the kernel.
constexpr size_t kBatch = 64;

absl::Status ClosedByHandler() {
  return absl::CancelledError("ProcessManager: destroyed by one of its handlers");
}

absl::Status InAnotherProcess() {
  return absl::CancelledError("ProcessManager: this is another process, forked by one of its handlers");
}

}  // namespace

std::shared_ptr<Supervisor> Supervisor::Make() {
  return std::allocate_shared<Supervisor>(os::InOnePage<Supervisor>());
}

Supervisor::Supervisor() : owner_(os::ProcessMark()), next_token_(kFirstAttemptToken) {}

Supervisor::~Supervisor() {
  Close();
  Abandon();
}

bool Supervisor::IsOwnedByThisProcess() const { return owner_ == os::ProcessMark(); }

absl::Status Supervisor::EnsureOpen() {
  if (!IsOwnedByThisProcess()) return InAnotherProcess();
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
                                            *std::move(signals), os::OomKills::Open(), std::nullopt});
  for (const int fd : {kernel_->epoll.fd(), kernel_->timer.fd(), kernel_->bell.fd(),
                       kernel_->signals.poll_fd(), kernel_->oom_kills.fd()}) {
    fds_.Add(fd);
  }
  absl::Status subscribed = SubscribeSignals();
  if (!subscribed.ok()) ReleaseKernelSide();
  RingForUntold();
  return subscribed;
}

absl::Status Supervisor::SubscribeSignals() {
  const auto shut_down = [this](const SignalInfo&) { BeginShutdown(std::nullopt); };
  const bool take_interrupts = !os::InterruptsAreIgnored() && !os::TerminalInterruptsAreLeftToParent();
  if (absl::Status on = kernel_->signals.On(SIGTERM, shut_down); !on.ok()) return on;
  return take_interrupts ? kernel_->signals.On(SIGINT, shut_down) : absl::OkStatus();
}

// Where not even waiting works any more: the children's owners kill and reap them. In another process, whose copies own
// nothing but descriptors, those are closed.
void Supervisor::Abandon() {
  for (const RecordPtr& record : std::exchange(records_, {}).NewestFirst()) {
    record->attempts.clear();
    record->replacement.reset();
    record->restart_timer.reset();
    record->recycle_timer.reset();
  }
  attempts_.clear();
  unlisted_ = nullptr;
  groups_.Clear();
}

void Supervisor::ReleaseKernelSide() {
  kernel_.reset();
  taken_.clear();
  fds_ = os::FdSet();
}

void Supervisor::AdoptCurrentProcess() { owner_ = os::ProcessMark(); }

void Supervisor::BeginShutdown(const std::optional<StopPlan>& plan) {
  if (plan.has_value()) shutdown_plan_ = plan;
  const absl::Cleanup stop_all = [this] {
    if (!IsOwnedByThisProcess()) return;  // a handler forked, and this is the child
    // Those that one of them kept from running, by what it threw.
    for (auto& handler : std::exchange(shutdown_handlers_, {})) announcements_.Call(std::move(handler));
    for (const RecordPtr& record : records_.NewestFirst()) {
      // The members of groups have their turns; those whose turn it is may have to make haste.
      const bool stops = std::any_of(record->attempts.begin(), record->attempts.end(),
                                     [](const auto& attempt) { return attempt->stop.active(); });
      if (record->group == nullptr || stops) RequestStop(record);
    }
    groups_.StopAll();
    WakeWaiter();
  };
  if (std::exchange(shutting_down_, true)) return;
  while (!shutdown_handlers_.empty() && IsOwnedByThisProcess()) {
    absl::AnyInvocable<void()> handler = std::move(shutdown_handlers_.front());
    shutdown_handlers_.pop_front();
    handler();
  }
}

// The shutdown runs handlers of the user's, and a start that failed comes here outside Dispatch and Wait: it has its turn
// with the other callbacks. The first one's word is kept.
void Supervisor::Escalate(const absl::Status& why) {
  if (!escalation_.ok()) return;
  escalation_ = why;
  announcements_.Call([this] { BeginShutdown(std::nullopt); });
}

void Supervisor::Close() {
  if (std::exchange(closed_, true)) return;
  if (!IsOwnedByThisProcess()) {
    if (HoldsRunningBody()) kept_ = weak_from_this().lock();
    return;
  }
  shutdown_handlers_.clear();
  BeginShutdown(std::nullopt);
  // The handlers that the program gave to signals() are not for now.
  if (kernel_ != nullptr) kernel_->epoll.Remove(kernel_->signals.poll_fd());
  taken_.erase(std::remove(taken_.begin(), taken_.end(), kSignalsToken), taken_.end());
  while (!records_.empty()) {
    if (!Collect(os::Deadline::After(absl::InfiniteDuration())).ok()) Abandon();
  }
  announcements_.Clear();
  groups_.Clear();
  ReleaseKernelSide();
  fd_limit_.Restore();
}

void Supervisor::SetStopPolicy(const StopPolicy& policy) { stop_policy_ = policy; }

// --- groups -----------------------------------------------------------------------------------------------------------

void Supervisor::AddGroup(const std::shared_ptr<GroupRecord>& group, GroupRecord* parent) {
  EnsureOpen().IgnoreError();  // the next call tells what is wrong
  group->supervisor = weak_from_this();
  groups_.Add(group, parent);
  groups_.Settle();
  WakeWaiter();
}

void Supervisor::StopGroup(GroupRecord& group) {
  groups_.Stop(group);
  groups_.Settle();
  WakeWaiter();
}

void Supervisor::Dismiss(const RecordPtr& record) {
  if (record->group != nullptr) groups_.Remove(*record->group, record);
  RequestStop(record);
}

void Supervisor::CallEndHandlers(GroupRecord& group) {
  for (auto& handler : std::exchange(group.end_handlers, {})) {
    announcements_.Call([handler = std::move(handler), end = group.end]() mutable { handler(end); });
  }
}

absl::Duration Supervisor::Now() { return os::MonotonicNow(); }

double Supervisor::Random() { return absl::Uniform(random_, 0.0, 1.0); }

// --- events -----------------------------------------------------------------------------------------------------------

absl::StatusOr<bool> Supervisor::RunUntil(absl::FunctionRef<bool()> done, const os::Deadline& deadline,
                                          absl::FunctionRef<void()> on_wake) {
  std::shared_ptr<Supervisor> keep_alive;  // a handler may destroy the manager
  const auto hold = [&] {
    if (keep_alive == nullptr) keep_alive = shared_from_this();
    on_wake();
  };
  os::Deadline until = os::Deadline::After(absl::ZeroDuration());  // at first, what has happened already
  size_t last_rounds = 0;
  for (bool over = false;;) {
    absl::StatusOr<int> count = RunRound(until, hold);
    if (closed_) return ClosedByHandler();
    if (!IsOwnedByThisProcess()) return InAnotherProcess();
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
  std::shared_ptr<Supervisor> keep_alive;
  return RunRound(deadline, [&] {
    if (keep_alive == nullptr) keep_alive = shared_from_this();
  });
}

absl::StatusOr<int> Supervisor::RunRound(const os::Deadline& deadline, absl::FunctionRef<void()> on_wake) {
  auto count = static_cast<int>(announcements_.untold());
  const auto tell = [&] {
    if (announcements_.untold() == 0) return;
    on_wake();
    RunCallbacks();
  };
  tell();
  do {
    if (closed_) return ClosedByHandler();
    if (absl::Status open = EnsureOpen(); !open.ok()) return count > 0 ? absl::StatusOr<int>(count) : open;
    absl::StatusOr<int> collected =
        Collect(count > 0 ? os::Deadline::After(absl::ZeroDuration()) : deadline, on_wake);
    if (!collected.ok()) return collected;
    count += *collected;
    tell();
    if (closed_) return ClosedByHandler();
  } while (count == 0 && IsOwnedByThisProcess() &&
           !deadline.expired());  // a bell may have rung for what had been seen
  return count;
}

absl::StatusOr<int> Supervisor::Collect(const os::Deadline& deadline, absl::FunctionRef<void()> on_wake) {
  Arm();
  if (taken_.empty()) {
    if (absl::Status taken = TakeTokens(deadline); !taken.ok()) return taken;
  }
  if (!taken_.empty()) {
    on_wake();
    oom_kills_counted_ = false;
  }
  // A signal's handler may wait for processes, whose ends may be among those that follow, and are told once.
  const absl::Cleanup ring_where_one_threw = [this] {
    if (!taken_.empty() && kernel_ != nullptr && IsOwnedByThisProcess()) kernel_->bell.Notify();
  };
  int count = 0;
  while (!taken_.empty()) {
    const uint64_t token = taken_.back();
    taken_.pop_back();
    count += HandleToken(token);
    // A signal's handler closed this, or forked, and this is the child.
    if (kernel_ == nullptr || !IsOwnedByThisProcess()) return count;
  }
  if (timers_.next_at() != absl::InfiniteDuration()) count += timers_.RunDue(os::MonotonicNow());
  groups_.Settle();
  Arm();
  return count;
}

// Not inlined: it takes room on the stack that would be between what has to be copied for each fork.
[[gnu::noinline]] absl::Status Supervisor::TakeTokens(const os::Deadline& deadline) {
  std::array<uint64_t, kBatch> room;
  const absl::StatusOr<absl::Span<const uint64_t>> tokens =
      kernel_->epoll.Wait(absl::MakeSpan(room), deadline);
  if (!tokens.ok()) return tokens.status();
  taken_.assign(tokens->rbegin(), tokens->rend());
  return absl::OkStatus();
}

int Supervisor::HandleToken(uint64_t token) {
  switch (token) {
    case kSignalsToken: {
      const std::shared_ptr<Kernel> kernel = kernel_;
      return kernel == nullptr ? 0 : kernel->signals.Dispatch().value_or(0);
    }
    case kTimerToken:
      return 0;  // RunDue follows every round
    case kBellToken:
      return AnswerBell();
    case kNotifyToken:
      return TakeNotifications();
    default:
      break;
  }
  for (int stream = 0; stream < CommandOutput::kStreams; ++stream) {
    if ((token & kOutputTokens[stream]) == 0) continue;
    TakeOutput(token & ~kOutputTokens[stream], stream);
    return 0;  // nothing that a caller of Dispatch waits for
  }
  return ReapIfEnded(token);
}

void Supervisor::TakeOutput(uint64_t id, int stream) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end() || !found->second.attempt->output.has_value()) return;
  Attempt& attempt = *found->second.attempt;
  if (!attempt.output->Drain(stream)) CloseOutput(attempt, stream);
}

int Supervisor::ReapIfEnded(uint64_t id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return 0;
  const auto [record, attempt] = found->second;
  // Where the kernel is not done with it, or a fork hook throws: last words may have another one started.
  absl::Cleanup have_it_told_again = [this, id, pidfd = attempt->child.pidfd()] {
    if (kernel_ != nullptr && attempts_.contains(id))
      kernel_->epoll.Modify(pidfd, id, kEndEvents).IgnoreError();
  };
  if (record->spec.command != nullptr && kernel_->notifications.has_value())
    TakeNotifications();  // its last words
  KillLeftovers(*record, *attempt);
  std::optional<ExitStatus> status = attempt->child.TryWait();
  if (!status.has_value()) return 0;
  std::move(have_it_told_again).Cancel();
  attempt->end_told = true;
  OnAttemptEnd(record, *attempt, *std::move(status));
  return 1;
}

int Supervisor::AnswerBell() {
  if (kernel_ == nullptr) return 0;
  kernel_->bell.Drain();
  int count = 0;
  const std::vector<uint64_t> candidates(may_ring_.begin(), may_ring_.end());
  for (const uint64_t id : candidates) {
    const auto found = attempts_.find(id);
    if (found == attempts_.end()) continue;
    const auto [record, attempt] = found->second;
    if (NoticeReady(record, *attempt)) ++count;
    if (record->spec.options.recycle.max_tasks != RecyclePolicy::kUnlimited) Check(record, *attempt);
  }
  return count;
}

void Supervisor::WakeWaiter() {
  Arm();
  RingForUntold();
}

void Supervisor::Arm() {
  if (kernel_ != nullptr) kernel_->timer.Set(timers_.next_at());
}

// --- telling ----------------------------------------------------------------------------------------------------------

void Supervisor::AddHandler(const RecordPtr& record, ProcessHandler handler) {
  announcements_.AddHandler(record, std::move(handler));
  RingForUntold();
}

void Supervisor::AddEventHandler(absl::AnyInvocable<void(const ProcessEvent&)> handler) {
  announcements_.AddEventHandler(std::move(handler));
}

void Supervisor::AddShutdownHandler(absl::AnyInvocable<void()> handler) {
  EnsureOpen().IgnoreError();  // from now on a SIGTERM is to find it
  if (shutting_down_) {
    Call(std::move(handler));
  } else {
    shutdown_handlers_.push_back(std::move(handler));
  }
}

void Supervisor::Call(absl::AnyInvocable<void()> call) {
  announcements_.Call(std::move(call));
  RingForUntold();
}

// Makes poll_fd readable until the handlers that are due have run.
void Supervisor::RingForUntold() {
  if (announcements_.untold() > 0 && kernel_ != nullptr && IsOwnedByThisProcess()) kernel_->bell.Notify();
}

void Supervisor::RunCallbacks() {
  const absl::Cleanup ring_where_one_threw = [this] { RingForUntold(); };
  announcements_.Run([this] { return !closed_ && IsOwnedByThisProcess(); });
}

ProcessEvent Supervisor::EventOf(const ProcessRecord& record, const Attempt* attempt,
                                 ProcessEvent::Kind kind) const {
  ProcessEvent event{.kind = kind, .time = absl::Now(), .monotonic = os::MonotonicNow()};
  event.id = record.id;
  event.name = record.name();
  if (record.group != nullptr) event.group = record.group->options.name;
  event.slot = record.spec.slot;
  if (attempt != nullptr) {
    event.pid = attempt->pid();
    event.attempt = attempt->number;
  }
  return event;
}

void Supervisor::Tell(const ProcessRecord& record, const Attempt* attempt, ProcessEvent::Kind kind,
                      absl::FunctionRef<void(ProcessEvent&)> fill) {
  if (!announcements_.wants_events()) return;
  ProcessEvent event = EventOf(record, attempt, kind);
  fill(event);
  announcements_.Tell(std::move(event));
}

void Supervisor::TellGroup(const GroupRecord& group, ProcessEvent::Kind kind, absl::Duration delay,
                           std::string reason) {
  if (!announcements_.wants_events()) return;
  ProcessEvent event{.kind = kind, .time = absl::Now(), .monotonic = os::MonotonicNow()};
  event.name = group.options.name;
  if (group.parent != nullptr) event.group = group.parent->options.name;
  event.delay = delay;
  event.reason = std::move(reason);
  announcements_.Tell(std::move(event));
}

}  // namespace ko
