#ifndef KO_POOL_TASK_STATE_H_
#define KO_POOL_TASK_STATE_H_

#include <cstdint>

namespace ko::pool {

// Where a task is. Pure.
//
//   kFree -> kQueued            by the process that has the pool
//   kQueued -> kRunning         by the worker that takes it
//   kQueued -> kDone            by the pool's process: cancelled before it started
//   kRunning -> kDone           by the worker, or by the supervisor when the worker has died
//   kRunning -> kCancelled, kOverdue   by whoever ends it; the worker takes no other task then and is killed
//   kCancelled, kOverdue -> kDone      by the supervisor when the worker has died
//   kRunning -> kQueued         by the supervisor when the worker has died and the task is to be tried again
//   kDone -> kFree              by the pool's process
enum class TaskPhase : uint32_t { kFree, kQueued, kRunning, kCancelled, kOverdue, kDone };

// A task's state word, a value: its phase, the worker that has it, two marks and a number that changes whenever an old copy
// of the word is to fail in an exchange. It is what everybody waits on, hence 32 bits.
class TaskState {
 public:
  static constexpr uint32_t kMaxWorkers = 1 << 9;

  constexpr explicit TaskState(uint32_t word) : word_(word) {}
  constexpr uint32_t word() const { return word_; }

  constexpr TaskPhase phase() const { return static_cast<TaskPhase>(word_ & kPhaseMask); }
  constexpr uint32_t worker() const { return (word_ >> kWorkerShift) & (kMaxWorkers - 1); }
  // Somebody sleeps on the word, and is to be woken when the task is done.
  constexpr bool awaited() const { return (word_ & kAwaited) != 0; }
  // It stands in the queue.
  constexpr bool listed() const { return (word_ & kListed) != 0; }
  // A worker has it, doomed or not.
  constexpr bool HasWorker() const {
    return phase() == TaskPhase::kRunning || phase() == TaskPhase::kCancelled ||
           phase() == TaskPhase::kOverdue;
  }

  constexpr TaskState With(TaskPhase phase) const {
    return TaskState((word_ & ~kPhaseMask) | static_cast<uint32_t>(phase));
  }
  constexpr TaskState WithWorker(uint32_t worker) const {
    return TaskState((word_ & ~((kMaxWorkers - 1) << kWorkerShift)) | (worker << kWorkerShift));
  }
  constexpr TaskState Awaited() const { return TaskState(word_ | kAwaited); }
  constexpr TaskState NotAwaited() const { return TaskState(word_ & ~kAwaited); }
  constexpr TaskState Listed() const { return TaskState(word_ | kListed); }
  constexpr TaskState NotListed() const { return TaskState(word_ & ~kListed); }
  constexpr TaskState Next() const { return TaskState(word_ + kOne); }  // the number wraps around

  friend constexpr bool operator==(TaskState, TaskState) = default;

 private:
  static constexpr uint32_t kPhaseMask = 7;
  static constexpr uint32_t kAwaited = 1 << 3;
  static constexpr uint32_t kListed = 1 << 4;
  static constexpr int kWorkerShift = 5;
  static constexpr uint32_t kOne = 1 << 14;

  uint32_t word_;
};

}  // namespace ko::pool

#endif  // KO_POOL_TASK_STATE_H_
