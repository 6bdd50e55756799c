#ifndef KO_POOL_POOL_WORKER_H_
#define KO_POOL_POOL_WORKER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "ko/os/event_fd.h"
#include "ko/pool/pool_segment.h"
#include "ko/pool/spin.h"
#include "ko/pool/task_queue.h"

namespace ko::pool {

// A worker's life: takes tasks and runs them until it is told to leave.
//
// Threads: one, a process of its own.
// Fork: what the supervisor forks.
// Signals: sleeping goes on after one.
// Crash: at any instruction; the supervisor finds the task by the worker's number in its state.
// Errors: none.
class PoolWorker {
 public:
  PoolWorker(std::shared_ptr<const PoolSegment> segment, uint32_t index, size_t most_tasks,
             const os::EventFd& bell);

  void Run();

 private:
  std::optional<uint32_t> NextTask();
  // Looks for a task for a short time; whether it is worth another try to take one.
  bool Look();
  // One look.
  bool Sees();
  void Sleep();
  bool ShouldLeave() const;
  // How many calls of the function it made. Does not return where the task was cancelled or is overdue.
  uint32_t RunTask(uint32_t task);

  const std::shared_ptr<const PoolSegment> segment_;
  const uint32_t index_;
  const size_t most_tasks_;
  const os::EventFd& bell_;
  TaskQueue queue_;
  SpinHabit spin_habit_;
};

}  // namespace ko::pool

#endif  // KO_POOL_POOL_WORKER_H_
