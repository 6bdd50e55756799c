#include "ko/pool/pool_supervisor.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <limits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/robust_list.h"
#include "ko/os/terminal_interrupt.h"
#include "ko/pool/pool_wake.h"
#include "ko/pool/pool_worker.h"
#include "ko/process/fork.h"

namespace ko::pool {
namespace {

// After a worker that could not be forked, or when some in a row have died without a task: what is wrong with the machine
// may pass.
constexpr absl::Duration kRestartPause = absl::Milliseconds(100);
constexpr int kDeathsInARow = 3;

// So many tasks in a row may say that nothing of them had been started when their worker died. To die right there is rare; one
// that says so each time has overwritten its place, and would be tried again for ever.
constexpr int kMostUntouchedInARow = 16;

constexpr uint64_t kBellToken = uint64_t{1} << 32;
constexpr uint64_t kParentToken = kBellToken + 1;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

void SetEnd(TaskSlot& slot, TaskEnd end, int value) {
  slot.end_value.store(value, std::memory_order_relaxed);
  slot.end.store(static_cast<uint8_t>(end), std::memory_order_relaxed);
}

void SetEnd(TaskSlot& slot, const ExitStatus& status) {
  if (status.term_signal().has_value()) return SetEnd(slot, TaskEnd::kSignaled, *status.term_signal());
  if (status.exit_code().has_value()) return SetEnd(slot, TaskEnd::kExited, *status.exit_code());
  SetEnd(slot, TaskEnd::kUnknown, 0);
}

}  // namespace

PoolSupervisor::PoolSupervisor(const Setting& setting)
    : setting_(setting),
      segment_(setting.segment),
      queue_(segment_),
      workers_(segment_->geometry().workers) {}

PoolOrder PoolSupervisor::order() const {
  return static_cast<PoolOrder>(segment_->header().order.load(std::memory_order_acquire));
}

absl::Status PoolSupervisor::Run() {
  PoolHeader& header = segment_->header();
  if (absl::Status held = os::HoldRobustFutex(header.supervisor, segment_); !held.ok()) return held;
  absl::StatusOr<os::Epoll> epoll = os::Epoll::Create();
  if (!epoll.ok()) return epoll.status();
  epoll_ = *std::move(epoll);
  if (absl::Status added = epoll_->Add(setting_.bell->fd(), kBellToken); !added.ok()) return added;
  if (absl::Status added = epoll_->Add(setting_.parent, kParentToken); !added.ok()) return added;
  for (uint32_t index = 0; index < workers_.size(); ++index) {
    if (absl::Status started = Start(index); !started.ok()) return started;
  }
  setting_.started->Notify();

  while (order() == PoolOrder::kWork || HasWorkers()) {
    EndOverdue();
    absl::StatusOr<bool> lives = Await();
    if (!lives.ok()) return lives.status();
    if (!*lives) return absl::OkStatus();
    if (order() == PoolOrder::kStop) KillAll();
    StartLate();
  }
  return absl::OkStatus();
}

absl::Status PoolSupervisor::Start(uint32_t index) {
  Worker& worker = workers_[index];
  worker.restart_at = os::MonotonicNow() + kRestartPause;
  ForkOptions options;
  options.die_with_parent = true;
  options.setup = [index] {
    ::prctl(PR_SET_NAME, absl::StrCat("ko-worker ", index).c_str());
    os::LeaveTerminalInterruptsToParent();
    return absl::OkStatus();
  };
  absl::StatusOr<Child> child =
      Fork([this, index] { PoolWorker(segment_, index, setting_.tasks_per_worker, *setting_.bell).Run(); },
           std::move(options));
  if (!child.ok()) return child.status();
  if (absl::Status added = epoll_->Add(child->pidfd(), index); !added.ok()) return added;  // and it is killed
  segment_->worker(index).pid.store(child->pid(), std::memory_order_relaxed);
  worker.child = *std::move(child);
  worker.restart_at = absl::InfiniteDuration();
  return absl::OkStatus();
}

void PoolSupervisor::StartLate() {
  if (order() != PoolOrder::kWork) return;
  const absl::Duration now = os::MonotonicNow();
  for (uint32_t index = 0; index < workers_.size(); ++index) {
    // Where it fails it has set the time of the next attempt.
    if (!workers_[index].child.has_value() && workers_[index].restart_at <= now) Start(index).IgnoreError();
  }
}

absl::StatusOr<bool> PoolSupervisor::Await() {
  absl::Duration at = absl::InfiniteDuration();
  if (next_look_ns_ != kNever) at = absl::Nanoseconds(next_look_ns_);
  for (const Worker& worker : workers_) at = std::min(at, worker.restart_at);

  std::array<uint64_t, 64> room;
  absl::StatusOr<absl::Span<const uint64_t>> ready = epoll_->Wait(absl::MakeSpan(room), os::Deadline::At(at));
  if (!ready.ok()) return ready.status();
  for (const uint64_t token : *ready) {
    if (token == kParentToken) return false;
    if (token == kBellToken) {
      setting_.bell->Drain();
      continue;
    }
    const uint32_t index = static_cast<uint32_t>(token);
    std::optional<ExitStatus> status = workers_[index].child->TryWait();
    if (!status.has_value()) continue;
    epoll_->Remove(workers_[index].child->pidfd());
    workers_[index].child.reset();
    Bury(index, *status);
  }
  return true;
}

void PoolSupervisor::Bury(uint32_t index, const ExitStatus& status) {
  PoolHeader& header = segment_->header();
  header.asleep.Remove(index);
  header.looking.Remove(index);
  queue_.Bury(index);
  segment_->worker(index).pid.store(0, std::memory_order_relaxed);
  for (uint32_t task = 0; task < segment_->geometry().tasks; ++task) BuryTask(task, index, status);
  WorkerSlot& slot = segment_->worker(index);
  slot.items_started.store(0, std::memory_order_relaxed);
  slot.overdue_at_ns.store(0);
  Worker& worker = workers_[index];
  const bool was_useful = slot.was_useful.exchange(0, std::memory_order_relaxed) != 0;
  worker.deaths_in_a_row = was_useful ? 0 : worker.deaths_in_a_row + 1;
  worker.restart_at = os::MonotonicNow();
  if (worker.deaths_in_a_row >= kDeathsInARow) worker.restart_at += kRestartPause;
  // What it was about to wake, or had been woken for.
  if (!queue_.Empty()) WakeWorker(*segment_);
  WakeAllForRoom(*segment_);
}

void PoolSupervisor::BuryTask(uint32_t task, uint32_t worker, const ExitStatus& status) {
  TaskSlot& slot = segment_->task(task);
  const uint32_t items_started = segment_->worker(worker).items_started.load(std::memory_order_acquire);
  uint32_t seen = slot.state.load(std::memory_order_acquire);
  if (TaskState(seen).phase() == TaskPhase::kDone && TaskState(seen).awaited()) {
    WakeAwaiting(slot);  // this worker may have died before it did
    return;
  }
  for (TaskState state(seen); state.HasWorker() && state.worker() == worker; state = TaskState(seen)) {
    bool again = false;
    if (state.phase() == TaskPhase::kCancelled) {
      SetEnd(slot, TaskEnd::kCancelled, 0);
    } else if (state.phase() == TaskPhase::kOverdue) {
      SetEnd(slot, TaskEnd::kOverdue, 0);
    } else if (order() == PoolOrder::kStop) {
      SetEnd(slot, TaskEnd::kStopped, 0);
    } else {
      SetEnd(slot, status);
      const uint32_t retries = slot.retries_left.load(std::memory_order_relaxed);
      const bool untouched = items_started == 0 && ++untouched_in_a_row_ <= kMostUntouchedInARow;
      if (!untouched) untouched_in_a_row_ = 0;
      again = untouched || (retries > 0 && slot.ResultBytes() == 0);
      if (again && !untouched) slot.retries_left.store(retries - 1, std::memory_order_relaxed);
    }
    if (again) SetEnd(slot, TaskEnd::kNone, 0);
    slot.items_started.store(items_started, std::memory_order_relaxed);
    const TaskState next =
        again ? state.Next().With(TaskPhase::kQueued).Listed() : state.With(TaskPhase::kDone);
    // Releases the end; fails where the pool's process cancels the task meanwhile, or starts to wait for it.
    if (!slot.state.compare_exchange_strong(seen, next.word())) continue;
    if (again) {
      if (queue_.Push(task) == TaskQueue::Pushed::kUnseen) WakeWorker(*segment_);
    } else if (state.awaited()) {
      WakeAwaiting(slot);
    }
    return;
  }
}

void PoolSupervisor::EndOverdue() {
  PoolHeader& header = segment_->header();
  // While this looks, every worker that starts a limited item rings: it may be one that was looked at already.
  header.next_look_ns.store(kNever);
  const int64_t now = absl::ToInt64Nanoseconds(os::MonotonicNow());
  int64_t next = kNever;
  for (uint32_t task = 0; task < segment_->geometry().tasks; ++task) {
    TaskSlot& slot = segment_->task(task);
    uint32_t seen = slot.state.load();
    if (!TaskState(seen).HasWorker()) continue;
    if (TaskState(seen).phase() == TaskPhase::kRunning) {
      // The time belongs to the state's number: a worker that goes on to its next item, or to another task, changes both,
      // this first.
      const uint32_t running = TaskState(seen).worker();
      if (running >= workers_.size()) continue;
      const int64_t overdue_at = segment_->worker(running).overdue_at_ns.load();
      if (overdue_at == 0) continue;
      if (overdue_at > now) {
        next = std::min(next, overdue_at);
        continue;
      }
      const TaskState overdue = TaskState(seen).With(TaskPhase::kOverdue);
      if (!slot.state.compare_exchange_strong(seen, overdue.word())) {
        next = now;  // somebody started to wait, say: once more
        continue;
      }
    }
    const uint32_t worker = TaskState(seen).worker();
    if (worker < workers_.size() && workers_[worker].child.has_value()) {
      workers_[worker].child->Kill(SIGKILL).IgnoreError();
    }
  }
  header.next_look_ns.store(next);
  next_look_ns_ = next;
}

void PoolSupervisor::KillAll() {
  for (Worker& worker : workers_) {
    if (worker.child.has_value()) worker.child->Kill(SIGKILL).IgnoreError();
  }
}

bool PoolSupervisor::HasWorkers() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& worker) { return worker.child.has_value(); });
}

}  // namespace ko::pool
