#include "ko/pool/pool_core.h"

#include <linux/futex.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ko/os/epoll.h"
#include "ko/os/errno_status.h"
#include "ko/os/pidfd.h"
#include "ko/os/prefetch.h"
#include "ko/os/process_mark.h"
#include "ko/os/processors.h"
#include "ko/os/terminal_interrupt.h"
#include "ko/os/unique_fd.h"
#include "ko/pool/pool_supervisor.h"
#include "ko/pool/pool_wake.h"
#include "ko/pool/spin.h"
#include "ko/process/fork.h"

namespace ko::pool {
namespace {

constexpr char kStopped[] = "the pool was shut down before the task was done";

constexpr int kMostWorkers = 500;
static_assert(kMostWorkers <= TaskState::kMaxWorkers);
constexpr size_t kMostTasks = size_t{1} << 20;
constexpr size_t kLeastMessageBytes = 4096;
constexpr size_t kMostMessageBytes = size_t{1} << 40;

absl::StatusOr<PoolSegment::Geometry> GeometryOf(const PoolOptions& options) {
  if (options.workers < 0 || options.workers > kMostWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("ProcessPool: ", options.workers, " workers; there may be 1 to ", kMostWorkers));
  }
  if (options.capacity == 0 || options.capacity > kMostTasks) {
    return absl::InvalidArgumentError(
        absl::StrCat("ProcessPool: a capacity of ", options.capacity, " tasks; it may be 1 to ", kMostTasks));
  }
  if (options.max_message_bytes == 0 || options.max_message_bytes > kMostMessageBytes) {
    return absl::InvalidArgumentError(absl::StrCat("ProcessPool: max_message_bytes of ",
                                                   options.max_message_bytes, "; it may be 1 to ",
                                                   kMostMessageBytes));
  }
  return PoolSegment::Geometry{.workers = options.workers == 0
                                              ? std::min<uint32_t>(os::ProcessorCount(), kMostWorkers)
                                              : static_cast<uint32_t>(options.workers),
                               .tasks = static_cast<uint32_t>(options.capacity),
                               .message_bytes = std::max(options.max_message_bytes, kLeastMessageBytes)};
}

// Sleeps until the supervisor has forked the workers, or has ended.
absl::Status AwaitStart(Child& supervisor, const os::EventFd& started) {
  absl::StatusOr<os::Epoll> epoll = os::Epoll::Create();
  if (!epoll.ok()) return epoll.status();
  if (absl::Status added = epoll->Add(supervisor.pidfd(), 0); !added.ok()) return added;
  if (absl::Status added = epoll->Add(started.fd(), 0); !added.ok()) return added;
  std::array<uint64_t, 1> room;
  const auto ready = epoll->Wait(absl::MakeSpan(room), os::Deadline::After(absl::InfiniteDuration()));
  if (!ready.ok()) return ready.status();
  if (started.Drain()) return absl::OkStatus();
  const absl::StatusOr<ExitStatus> status = supervisor.Wait();
  if (!status.ok()) return status.status();
  if (status->ok()) return absl::UnavailableError("ProcessPool: the supervisor has left");
  return status->ToStatus();
}

absl::Status ToStatus(TaskEnd end, int value) {
  const auto died = [](const ExitStatus& status) {
    return absl::AbortedError(absl::StrCat("the worker that ran the task ", status.ToString()));
  };
  switch (end) {
    case TaskEnd::kExited:
      return died(ExitStatus::Exited(value));
    case TaskEnd::kSignaled:
      return absl::AbortedError(
          absl::StrCat("the worker that ran the task was ", ExitStatus::Signaled(value).ToString()));
    case TaskEnd::kUnknown:
      return absl::AbortedError("the worker that ran the task has ended; how is not known");
    case TaskEnd::kOverdue:
      return absl::DeadlineExceededError("the task ran longer than its time limit");
    case TaskEnd::kCancelled:
      return absl::CancelledError("the task was cancelled");
    case TaskEnd::kStopped:
      return absl::CancelledError(kStopped);
    case TaskEnd::kNone:
      break;
  }
  return absl::DataLossError("the task's worker has left no result; its memory may have been overwritten");
}

}  // namespace

absl::StatusOr<std::shared_ptr<PoolCore>> PoolCore::Create(PoolOptions options) {
  const absl::StatusOr<PoolSegment::Geometry> geometry = GeometryOf(options);
  if (!geometry.ok()) return geometry.status();
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<PoolSegment>> segment = PoolSegment::Create(*geometry);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<os::EventFd> bell = os::EventFd::Create();
  if (!bell.ok()) return bell.status();
  absl::StatusOr<os::EventFd> started = os::EventFd::Create();
  if (!started.ok()) return started.status();
  const os::UniqueFd self = os::OpenPidfd(::getpid());
  if (!self.valid()) return os::ErrnoStatus(errno, "pidfd_open", "this process");

  ForkOptions fork_options;
  fork_options.allow_threads = options.allow_threads;
  fork_options.setup = [] {
    ::prctl(PR_SET_NAME, "ko-pool");
    os::LeaveTerminalInterruptsToParent();
    return absl::OkStatus();
  };
  absl::StatusOr<Child> supervisor = Fork(
      [&] {
        if (options.warm_up != nullptr) {
          if (absl::Status status = options.warm_up(); !status.ok()) return status;
        }
        return PoolSupervisor({*segment, &*bell, &*started, self.get(), options.tasks_per_worker}).Run();
      },
      std::move(fork_options));
  if (!supervisor.ok()) return supervisor.status();
  if (absl::Status status = AwaitStart(*supervisor, *started); !status.ok()) return status;
  return std::shared_ptr<PoolCore>(
      new PoolCore(*std::move(segment), *std::move(supervisor), *std::move(bell)));
}

PoolCore::PoolCore(std::shared_ptr<PoolSegment> segment, Child supervisor, os::EventFd bell)
    : segment_(std::move(segment)),
      queue_(segment_),
      bell_(std::move(bell)),
      owner_process_(os::ProcessMark()),
      supervisor_pid_(supervisor.pid()),
      supervisor_(std::move(supervisor)),
      owners_(segment_->geometry().tasks) {
  const uint32_t tasks = segment_->geometry().tasks;
  free_.reserve(tasks);
  for (uint32_t slot = tasks; slot > 0; --slot) free_.push_back(slot - 1);
}

PoolCore::~PoolCore() { Stop(); }

absl::Status PoolCore::CheckProcess() const {
  if (os::ProcessMark() == owner_process_) return absl::OkStatus();
  return absl::FailedPreconditionError("ProcessPool: only the process that made the pool can use it");
}

absl::Status PoolCore::CheckOpen() const {
  if (closed_) return absl::FailedPreconditionError("ProcessPool: it has been shut down");
  return failure_;
}

TaskState PoolCore::StateOf(uint32_t slot) const {
  // Pairs with the release of whoever ends the task: its results are there. Sequentially consistent, see AwaitRoom.
  return TaskState(segment_->task(slot).state.load(std::memory_order_seq_cst));
}

absl::StatusOr<size_t> PoolCore::Submit(const Request& request, const TaskOptions& options) {
  if (absl::Status status = CheckProcess(); !status.ok()) return status;
  const absl::StatusOr<size_t> valid = Check(request.parts, options);
  if (!valid.ok()) return valid;
  const absl::StatusOr<Slots> slots = AcquireSlots(request.parts.first(*valid), options.room_timeout);
  if (!slots.ok()) return slots.status();
  const absl::Span<const Part> parts = request.parts.first(slots->size());

  size_t queued = 0;
  const absl::Cleanup give_back_others = [&] {  // what is packed may throw
    if (queued == parts.size()) return;
    absl::MutexLock lock(&mutex_);
    for (size_t i = queued; i < parts.size(); ++i) Withdraw(*parts[i].task, (*slots)[i]);
    WakeAllForRoom(*segment_);
  };
  for (size_t i = 0; i < parts.size(); ++i) {
    TaskSlot& slot = segment_->task((*slots)[i]);
    Describe(slot, request.function, parts[i], options);
    const size_t bytes = parts[i].argument_bytes;
    request.pack(i, bytes <= sizeof(slot.arguments) ? absl::MakeSpan(slot.arguments, bytes)
                                                    : segment_->LargeArguments((*slots)[i]).first(bytes));
  }
  for (; queued < parts.size(); ++queued) {
    const uint32_t slot = (*slots)[queued];
    if (Publish(segment_->task(slot)) && !Push(slot, request.wakes_later)) break;
  }
  if (queued > 0) return queued;
  return absl::DataLossError("ProcessPool: the queue in shared memory has been overwritten");
}

void PoolCore::Withdraw(PendingTask& task, uint32_t slot) {
  // Where the pool has ended meanwhile, it has its outcome already.
  if (task.slot.exchange(PendingTask::kNone, std::memory_order_relaxed) == PendingTask::kNone) return;
  segment_->task(slot).state.store(StateOf(slot).NotListed().word(), std::memory_order_release);
  Free(slot);
}

absl::StatusOr<size_t> PoolCore::Check(absl::Span<const Part> parts, const TaskOptions& options) const {
  if (options.retries < 0 || options.time_limit <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("ProcessPool: ", options.retries,
                                                   " retries, a time limit of ",
                                                   absl::FormatDuration(options.time_limit)));
  }
  size_t valid = 0;
  while (valid < parts.size() && parts[valid].argument_bytes <= max_message_bytes()) ++valid;
  if (valid > 0) return valid;
  return absl::InvalidArgumentError(absl::StrCat("ProcessPool: arguments of ", parts[0].argument_bytes,
                                                 " bytes are longer than PoolOptions::max_message_bytes, ",
                                                 max_message_bytes()));
}

void PoolCore::Describe(TaskSlot& slot, TaskFunction function, const Part& part, const TaskOptions& options) {
  const auto set = [](auto& field, auto value) { field.store(value, std::memory_order_relaxed); };
  set(slot.items, part.items);
  set(slot.timed, uint8_t{part.timed});
  set(slot.function, reinterpret_cast<uintptr_t>(function));
  set(slot.argument_bytes, part.argument_bytes);
  const bool limited = options.time_limit != absl::InfiniteDuration();
  set(slot.limited, uint8_t{limited});
  if (limited) set(slot.time_limit_ns, absl::ToInt64Nanoseconds(options.time_limit));
  set(slot.retries_left, static_cast<uint32_t>(options.retries));
  set(slot.end, static_cast<uint8_t>(TaskEnd::kNone));
}

bool PoolCore::Publish(TaskSlot& slot) {
  uint32_t seen = slot.state.load(std::memory_order_relaxed);
  // Releases the arguments to the worker that takes it.
  return TaskState(seen).phase() == TaskPhase::kFree &&
         slot.state.compare_exchange_strong(seen,
                                            TaskState(seen).Next().With(TaskPhase::kQueued).Listed().word());
}

bool PoolCore::Push(uint32_t slot, bool wakes_later) {
  const TaskQueue::Pushed pushed = queue_.Push(slot);
  if (pushed == TaskQueue::Pushed::kUnseen && !(wakes_later && IsAwake())) WakeWorker(*segment_);
  return pushed != TaskQueue::Pushed::kOverwritten;
}

bool PoolCore::IsAwake() const {
  const uint32_t workers = segment_->geometry().workers;
  const uint32_t awake = workers - segment_->header().asleep.Count(workers);
  return awake > 0 && awake + 1 >= os::ProcessorCount();
}

void PoolCore::WakeForQueued(uint32_t few) {
  const uint32_t workers = segment_->geometry().workers;
  for (uint32_t queued = queue_.size(); queued > few && !segment_->header().asleep.Empty(workers); --queued)
    WakeWorker(*segment_);
}

absl::StatusOr<PoolCore::Slots> PoolCore::AcquireSlots(absl::Span<const Part> parts, absl::Duration timeout) {
  std::optional<os::Deadline> deadline;  // a look at the clock costs as much as the rest
  for (bool announced = false;; announced = true) {
    // Before the last look at what is done; see SignalRoom.
    const uint32_t heard = segment_->header().room.load(std::memory_order_acquire);
    if (announced) segment_->header().room_wanted.store(1, std::memory_order_seq_cst);
    {
      absl::MutexLock lock(&mutex_);
      if (absl::Status status = CheckOpen(); !status.ok()) return status;
      if (free_.empty()) Harvest();
      Slots slots;
      for (const Part& part : parts.first(std::min(parts.size(), free_.size()))) {
        const uint32_t slot = free_.back();
        free_.pop_back();
        owners_[slot] = {Owner::Kind::kTask, part.task};
        part.task->slot.store(slot, std::memory_order_relaxed);
        slots.push_back(slot);
      }
      if (!slots.empty()) return slots;
    }
    if (!deadline.has_value()) deadline = os::Deadline::After(timeout);
    if (deadline->expired()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("ProcessPool: ", segment_->geometry().tasks,
                       " tasks are not finished, and there is no room for more"));
    }
    if (announced) AwaitRoom(heard, *deadline);
  }
}

void PoolCore::AwaitRoom(uint32_t heard, const os::Deadline& deadline) {
  os::FutexWaitList waits;
  waits.Add(segment_->header().room, heard, os::FutexScope::kShared);
  if (!AwaitSupervisor(waits)) return Fail();
  waits.Sleep(deadline);
}

void PoolCore::Harvest() {
  const uint32_t tasks = segment_->geometry().tasks;
  // Enough for a while; they are found about in the order in which they were submitted.
  constexpr size_t kEnough = 64;
  constexpr uint32_t kAhead = 4;
  for (uint32_t looked = 0; looked < tasks && free_.size() < kEnough; ++looked) {
    const uint32_t slot = harvest_from_;
    harvest_from_ = slot + 1 == tasks ? 0 : slot + 1;
    os::PrefetchToWrite(&segment_->task((slot + kAhead) % tasks).state);
    const Owner::Kind kind = owners_[slot].kind;
    if (kind != Owner::Kind::kTask && kind != Owner::Kind::kDropped) continue;
    const TaskState state = StateOf(slot);
    if (state.phase() != TaskPhase::kDone) continue;
    if (kind == Owner::Kind::kTask) Store(slot, absl::OkStatus());
    Free(slot);
  }
}

void PoolCore::Store(uint32_t slot, absl::Status end) {
  PendingTask& task = *owners_[slot].task;
  task.outcome = OutcomeOf(slot);
  task.results = std::string(task.outcome.results);
  task.outcome.results = task.results;
  if (!end.ok()) task.outcome.end = std::move(end);
  owners_[slot] = {Owner::Kind::kDropped, nullptr};
  // Releases the outcome to IsDone.
  task.slot.store(PendingTask::kNone, std::memory_order_release);
}

void PoolCore::Free(uint32_t slot) {
  TaskSlot& shared = segment_->task(slot);
  owners_[slot] = {Owner::Kind::kDropped, nullptr};
  const TaskState state = StateOf(slot);
  // It stands in the queue still, where a worker has to step over it first.
  if (state.listed()) return;
  segment_->ReleaseLargeArguments(slot, shared.argument_bytes.load(std::memory_order_relaxed));
  if (shared.near_result_bytes.load(std::memory_order_relaxed) == TaskSlot::kResultsElsewhere &&
      shared.result_is_large.load(std::memory_order_relaxed) != 0) {
    const uint64_t bytes = shared.result_bytes.load(std::memory_order_relaxed);
    segment_->ReleaseLargeResults(slot, std::min<uint64_t>(bytes, segment_->LargeResults(slot).size()));
  }
  // Whoever still sleeps on it, or is about to change it, has an old number.
  shared.state.store(state.Next().With(TaskPhase::kFree).WithWorker(0).NotAwaited().word(),
                     std::memory_order_release);
  owners_[slot] = {};
  free_.push_back(slot);
}

TaskOutcome PoolCore::OutcomeOf(uint32_t slot) const {
  const TaskSlot& shared = segment_->task(slot);
  TaskOutcome outcome;
  outcome.items_started = shared.items_started.load(std::memory_order_relaxed);
  const uint64_t bytes = outcome.items_started == 0 ? 0 : shared.ResultBytes();
  if (shared.near_result_bytes.load(std::memory_order_relaxed) != TaskSlot::kResultsElsewhere) {
    outcome.results = {shared.near_results,
                       static_cast<size_t>(std::min<uint64_t>(bytes, sizeof(shared.near_results)))};
  } else if (shared.result_is_large.load(std::memory_order_relaxed) != 0) {
    const absl::Span<char> large = segment_->LargeResults(slot);
    outcome.results = {large.data(), static_cast<size_t>(std::min<uint64_t>(bytes, large.size()))};
  } else {
    outcome.results = {shared.results,
                       static_cast<size_t>(std::min<uint64_t>(bytes, sizeof(shared.results)))};
  }
  if (shared.timed.load(std::memory_order_relaxed) != 0)
    outcome.run_time = absl::Nanoseconds(shared.run_ns.load(std::memory_order_relaxed));
  const auto end = static_cast<TaskEnd>(shared.end.load(std::memory_order_relaxed));
  if (end != TaskEnd::kNone || outcome.results.empty()) {
    outcome.end = ToStatus(end, shared.end_value.load(std::memory_order_relaxed));
  }
  return outcome;
}

bool PoolCore::IsDone(const PendingTask& task) const {
  // Pairs with the release in Store.
  const uint32_t slot = task.slot.load(std::memory_order_acquire);
  if (slot == PendingTask::kNone) return true;
  return StateOf(slot).phase() == TaskPhase::kDone;
}

void PoolCore::Prefetch(const PendingTask& task) const {
  const uint32_t slot = task.slot.load(std::memory_order_relaxed);
  if (slot != PendingTask::kNone) os::PrefetchToWrite(&segment_->task(slot).state);
}

bool PoolCore::MaySpin() const {
  const uint32_t workers = segment_->geometry().workers;
  const PoolHeader& header = segment_->header();
  // The processors are the workers' first, but for those that only look for work and let others go first meanwhile.
  const uint32_t idle = header.asleep.Count(workers) + header.looking.Count(workers);
  return idle >= workers || workers - idle < os::ProcessorCount();
}

bool PoolCore::AwaitAny(absl::Span<PendingTask* const> tasks, const os::Deadline& deadline,
                        const Interrupt& interrupt, std::optional<uint32_t> deaths_heard) {
  tasks = tasks.first(std::min(tasks.size(), kMostAwaited));
  const auto any_done = [&] {
    return std::any_of(tasks.begin(), tasks.end(), [this](const PendingTask* task) { return IsDone(*task); });
  };
  if (tasks.empty() || any_done()) return true;
  if (!CheckProcess().ok()) return false;
  if (!deadline.expired() && MaySpin() && spin_habit_.Pays()) {
    const bool found = SpinUntil(any_done);
    spin_habit_.Learn(found);
    if (found) return true;
  }
  if (deaths_heard.has_value()) WakeForQueued(0);
  while (!any_done()) {
    if (interrupt.fired() || deadline.expired()) return false;
    os::FutexWaitList waits;
    if (deaths_heard.has_value()) {
      if (Deaths() != *deaths_heard) return true;
      waits.Add(segment_->header().room, *deaths_heard, os::FutexScope::kShared);
    }
    bool changed = false;
    for (const PendingTask* task : tasks) {
      const uint32_t slot = task->slot.load(std::memory_order_acquire);
      if (slot == PendingTask::kNone) return true;
      std::atomic<uint32_t>& word = segment_->task(slot).state;
      uint32_t seen = word.load(std::memory_order_acquire);
      const TaskState state(seen);
      if (state.phase() == TaskPhase::kDone || state.phase() == TaskPhase::kFree ||
          (!state.awaited() && !word.compare_exchange_strong(seen, state.Awaited().word()))) {
        changed = true;
        break;
      }
      // Its place may have become another task's since; that came after this.
      if (task->slot.load(std::memory_order_acquire) != slot) return true;
      waits.Add(word, state.Awaited().word(), os::FutexScope::kShared);
    }
    if (changed) continue;
    if (!AwaitSupervisor(waits)) {
      Fail();
      continue;
    }
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    waits.Sleep(deadline);
  }
  return true;
}

void PoolCore::Take(absl::Span<PendingTask* const> tasks,
                    absl::FunctionRef<void(size_t, const TaskOutcome&)> use) {
  tasks.size() > 1 ? TakeUpTo<kMostParts>(tasks, use) : TakeUpTo<1>(tasks, use);
}

template <size_t most>
void PoolCore::TakeUpTo(absl::Span<PendingTask* const> tasks,
                        absl::FunctionRef<void(size_t, const TaskOutcome&)> use) {
  struct Taken {
    Taken() {}  // `small` is as it was on the stack
    TaskOutcome outcome;
    uint32_t borrowed = PendingTask::kNone;  // its place, where results that are too long for a copy are read
    char small[TaskSlot::kInlineResults];
  };
  std::array<Taken, most> taken;
  {
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < tasks.size(); ++i) {
      Taken& each = taken[i];
      const uint32_t slot = tasks[i]->slot.exchange(PendingTask::kNone, std::memory_order_relaxed);
      each.outcome = slot == PendingTask::kNone ? tasks[i]->outcome : OutcomeOf(slot);
      std::string_view& results = each.outcome.results;
      if (slot != PendingTask::kNone && results.size() > sizeof(each.small)) {
        owners_[slot] = {Owner::Kind::kBeingTaken, nullptr};
        each.borrowed = slot;
      } else if (slot != PendingTask::kNone) {
        std::copy(results.begin(), results.end(), each.small);
        results = {each.small, results.size()};
        Free(slot);
      }
    }
  }
  const absl::Cleanup give_back = [&] {  // what reads them may throw
    for (const Taken& each : taken) {
      if (each.borrowed == PendingTask::kNone) continue;
      absl::MutexLock lock(&mutex_);
      Free(each.borrowed);
    }
  };
  for (size_t i = 0; i < tasks.size(); ++i) use(i, taken[i].outcome);
}

void PoolCore::Drop(PendingTask& task) {
  if (!CheckProcess().ok()) return;
  absl::MutexLock lock(&mutex_);
  const uint32_t slot = task.slot.exchange(PendingTask::kNone, std::memory_order_relaxed);
  if (slot == PendingTask::kNone) return;
  owners_[slot] = {Owner::Kind::kDropped, nullptr};
  if (StateOf(slot).phase() == TaskPhase::kDone) Free(slot);
}

void PoolCore::Cancel(PendingTask& task) {
  if (!CheckProcess().ok()) return;
  absl::MutexLock lock(&mutex_);
  const uint32_t index = task.slot.load(std::memory_order_relaxed);
  if (index == PendingTask::kNone) return;
  TaskSlot& slot = segment_->task(index);
  uint32_t seen = slot.state.load(std::memory_order_acquire);
  for (TaskState state(seen);; state = TaskState(seen)) {
    if (state.phase() == TaskPhase::kQueued) {
      if (!slot.state.compare_exchange_weak(seen, state.With(TaskPhase::kDone).word())) continue;
      slot.items_started.store(0, std::memory_order_relaxed);
      Store(index, absl::CancelledError("the task was cancelled before it started"));
      Free(index);
      if (state.awaited()) WakeAwaiting(slot);
      return;
    }
    if (state.phase() != TaskPhase::kRunning) return;
    if (slot.state.compare_exchange_weak(seen, state.With(TaskPhase::kCancelled).word())) {
      bell_.Notify();
      return;
    }
  }
}

bool PoolCore::SupervisorLives() const {
  const uint32_t word = segment_->header().supervisor.word.load(std::memory_order_acquire);
  return (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

bool PoolCore::AwaitSupervisor(os::FutexWaitList& waits) {
  std::atomic<uint32_t>& word = segment_->header().supervisor.word;
  uint32_t seen = word.load(std::memory_order_acquire);
  do {
    if (!SupervisorLives()) return false;
  } while ((seen & FUTEX_WAITERS) == 0 && !word.compare_exchange_weak(seen, seen | FUTEX_WAITERS));
  waits.Add(word, seen | FUTEX_WAITERS, os::FutexScope::kShared);
  return true;
}

void PoolCore::Fail() {
  {
    absl::MutexLock lock(&mutex_);
    if (failure_.ok()) {
      absl::StatusOr<ExitStatus> status = supervisor_.Stop({.signal = SIGKILL});
      // Another thread may be ending the pool, and this one be the first to see the supervisor's end.
      const bool was_asked_to = closed_ && status.ok() && status->ok();
      EndAll(was_asked_to ? absl::CancelledError(kStopped)
                          : absl::AbortedError(
                                absl::StrCat("the pool's supervisor has ended: ",
                                             status.ok() ? status->ToString() : status.status().ToString())));
    }
  }
  // The kernel has woken one of those who wait for it.
  os::FutexWake(segment_->header().supervisor.word, os::FutexScope::kShared, INT_MAX);
}

uint32_t PoolCore::ItemsStarted(TaskState undone) const {
  if (!undone.HasWorker() || undone.worker() >= segment_->geometry().workers) return 0;
  return segment_->worker(undone.worker()).items_started.load(std::memory_order_acquire);
}

void PoolCore::EndAll(const absl::Status& why) {
  failure_ = why;
  for (uint32_t slot = 0; slot < owners_.size(); ++slot) {
    if (owners_[slot].kind != Owner::Kind::kTask) continue;
    TaskState state = StateOf(slot);
    if (state.phase() != TaskPhase::kDone)
      segment_->task(slot).items_started.store(ItemsStarted(state), std::memory_order_relaxed);
    Store(slot, state.phase() == TaskPhase::kDone ? absl::OkStatus() : why);
    if (state.phase() == TaskPhase::kDone) continue;
    segment_->task(slot).state.store(state.With(TaskPhase::kDone).word());
    if (state.awaited()) WakeAwaiting(segment_->task(slot));
  }
  WakeAllForRoom(*segment_);
}

bool PoolCore::HasUnfinished() {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return false;
  for (uint32_t slot = 0; slot < owners_.size(); ++slot) {
    const Owner::Kind kind = owners_[slot].kind;
    if ((kind == Owner::Kind::kTask || kind == Owner::Kind::kDropped) &&
        StateOf(slot).phase() != TaskPhase::kDone) {
      return true;
    }
  }
  return false;
}

absl::Status PoolCore::Finish(absl::Duration timeout) {
  if (absl::Status status = CheckProcess(); !status.ok()) return status;
  const os::Deadline deadline = os::Deadline::After(timeout);
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  WakeAllForRoom(*segment_);
  for (;;) {
    const uint32_t heard = segment_->header().room.load(std::memory_order_acquire);
    segment_->header().room_wanted.store(1, std::memory_order_seq_cst);
    if (!HasUnfinished()) break;
    if (deadline.expired()) {
      End(PoolOrder::kStop);
      return absl::DeadlineExceededError("ProcessPool: tasks were still running, and have been ended");
    }
    AwaitRoom(heard, deadline);
  }
  End(PoolOrder::kFinish);
  absl::MutexLock lock(&mutex_);
  return absl::IsAborted(failure_) ? failure_ : absl::OkStatus();
}

void PoolCore::Stop() {
  if (!CheckProcess().ok()) return;
  End(PoolOrder::kStop);
}

void PoolCore::End(PoolOrder order) {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  segment_->header().order.store(static_cast<uint32_t>(order), std::memory_order_seq_cst);
  bell_.Notify();
  WakeAllWorkers(*segment_);
  absl::MutexLock lock(&mutex_);
  supervisor_.Wait().IgnoreError();
  if (failure_.ok()) EndAll(absl::CancelledError(kStopped));
  os::FutexWake(segment_->header().supervisor.word, os::FutexScope::kShared, INT_MAX);
}

std::vector<pid_t> PoolCore::WorkerPids() const {
  std::vector<pid_t> pids;
  for (uint32_t index = 0; index < segment_->geometry().workers; ++index) {
    const pid_t pid = segment_->worker(index).pid.load(std::memory_order_relaxed);
    if (pid != 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace ko::pool
