#ifndef KO_POOL_TASK_QUEUE_H_
#define KO_POOL_TASK_QUEUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "ko/pool/pool_segment.h"

namespace ko::pool {

// The order in which tasks are taken: a ring in the pool's memory. A task belongs to whoever changes its state word from
// queued to running, in one exchange; the ring only says where to look, and whoever finds it behind moves it on. So a death
// at any instruction leaves every task either queued, to be found by the next one, or with a worker, whose death the
// supervisor notices.
//
// Threads: any number push and pop.
// Fork: all processes use the same queue.
// Signals: none.
// Crash: see above.
// Errors: none; entries that name no task are skipped.
class TaskQueue {
 public:
  explicit TaskQueue(std::shared_ptr<const PoolSegment> segment) : segment_(std::move(segment)) {}

  // Puts a task at the end whose state is queued and listed. False where the ring has been overwritten: there is always room.
  bool Push(uint32_t task);

  // Takes the first task that is queued, for this worker.
  std::optional<uint32_t> Pop(uint32_t worker);

  // Whether there is an entry; it may be of a task that is queued no longer.
  bool Empty() const;
  // How many entries; approximate while others are at work.
  uint32_t size() const;

 private:
  std::shared_ptr<const PoolSegment> segment_;
};

}  // namespace ko::pool

#endif  // KO_POOL_TASK_QUEUE_H_
