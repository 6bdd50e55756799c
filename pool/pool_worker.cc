#include "ko/pool/pool_worker.h"

#include <unistd.h>

#include <atomic>
#include <utility>

#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/processors.h"
#include "ko/os/relax.h"
#include "ko/pool/pool_wake.h"
#include "ko/pool/spin.h"
#include "ko/pool/task_run.h"

namespace ko::pool {
namespace {

// Some microseconds, about what a caller does between two tasks.
constexpr int kFirstLooks = 100;
constexpr int kPatience = 20;

}  // namespace

PoolWorker::PoolWorker(std::shared_ptr<const PoolSegment> segment, uint32_t index, size_t most_tasks,
                       const os::EventFd& bell)
    : segment_(std::move(segment)), index_(index), most_tasks_(most_tasks), bell_(bell), queue_(segment_) {}

void PoolWorker::Run() {
  for (size_t tasks = 0; most_tasks_ == 0 || tasks < most_tasks_;) {
    const std::optional<uint32_t> task = NextTask();
    if (!task.has_value()) return;
    tasks += RunTask(*task);
  }
}

bool PoolWorker::ShouldLeave() const {
  return segment_->header().order.load(std::memory_order_acquire) != static_cast<uint32_t>(PoolOrder::kWork);
}

std::optional<uint32_t> PoolWorker::NextTask() {
  for (;;) {
    const std::optional<uint32_t> task = queue_.Pop(index_);
    SignalRoom(*segment_, queue_);
    if (task.has_value()) return task;
    if (ShouldLeave()) return std::nullopt;
    if (!Look()) Sleep();
  }
}

bool PoolWorker::Look() {
  if (!spin_habit_.Pays()) return false;
  PoolHeader& header = segment_->header();
  const uint32_t workers = segment_->geometry().workers;
  // One processor is the caller's. Where there is none to spare, one worker looks and lets others go first: to be runnable
  // costs nothing while they have work, and saves whoever submits the price of waking this one again.
  const bool spare = workers - header.asleep.Count(workers) < os::ProcessorCount();
  TaskQueue::Front front = queue_.Look(index_);
  // Tasks that follow at once are found before anybody hears of this worker's having none.
  for (int i = 0; spare && front == TaskQueue::Front::kOurs && i < kFirstLooks; ++i) {
    os::Relax();
    front = queue_.Look(index_);
  }
  if (front == TaskQueue::Front::kTask) {
    spin_habit_.Learn(true);
    return true;
  }
  if (front == TaskQueue::Front::kOthers && !spare) return false;
  header.looking.Add(index_);
  const auto may_go_on = [this] { return Sees() || ShouldLeave(); };
  const bool found = spare ? SpinUntil(may_go_on) : YieldUntil(may_go_on);
  header.looking.Remove(index_);
  spin_habit_.Learn(found);
  return !queue_.StopLooking(index_) || found;
}

bool PoolWorker::Sees() {
  const TaskQueue::Front front = queue_.Look(index_);
  // The other one is to have the next task, and this one to fall asleep where that is enough.
  for (int i = 0; front == TaskQueue::Front::kOthers && i < kPatience; ++i) os::Relax();
  return front == TaskQueue::Front::kTask;
}

void PoolWorker::Sleep() {
  PoolHeader& header = segment_->header();
  const std::atomic<uint32_t>& bell = segment_->worker(index_).bell;
  const uint32_t heard = bell.load(std::memory_order_acquire);
  // Before the last look at the queue; see WakeWorker.
  header.asleep.Add(index_);
  if (queue_.Empty() && !ShouldLeave()) {
    os::FutexWaitList waits;
    waits.Add(bell, heard, os::FutexScope::kShared);
    waits.Sleep(os::Deadline::After(absl::InfiniteDuration()));
  }
  header.asleep.Remove(index_);
}

uint32_t PoolWorker::RunTask(uint32_t task) {
  segment_->worker(index_).was_useful.store(1, std::memory_order_relaxed);
  TaskSlot& slot = segment_->task(task);
  TaskRun run(*segment_, task, index_, bell_);
  const bool timed = slot.timed.load(std::memory_order_relaxed) != 0;
  if (timed) slot.run_ns.store(0, std::memory_order_relaxed);
  const absl::Duration start = timed ? os::MonotonicNow() : absl::ZeroDuration();
  const auto function = reinterpret_cast<TaskFunction>(slot.function.load(std::memory_order_relaxed));
  function(run);
  if (timed) {
    slot.run_ns.store(absl::ToInt64Nanoseconds(os::MonotonicNow() - start), std::memory_order_relaxed);
  }
  run.End();

  uint32_t seen = slot.state.load(std::memory_order_relaxed);
  TaskState state(seen);
  do {
    state = TaskState(seen);
    if (state.phase() != TaskPhase::kRunning) {
      // It is to end, and this process with it: whoever kills it must not hit another task.
      for (;;) ::pause();
    }
    // Releases the results; and see SignalRoom.
  } while (!slot.state.compare_exchange_weak(seen, state.With(TaskPhase::kDone).word()));
  if (state.awaited()) WakeAwaiting(slot);
  run.Forget();
  return run.items_ended();
}

}  // namespace ko::pool
