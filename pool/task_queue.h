#ifndef KO_POOL_TASK_QUEUE_H_
#define KO_POOL_TASK_QUEUE_H_

#include <atomic>
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

  enum class Pushed {
    kUnseen,
    kSeen,         // by a worker that looks for it
    kOverwritten,  // there is always room, but in a ring that has been overwritten
  };
  // Puts a task at the end whose state is queued and listed.
  Pushed Push(uint32_t task);

  // Takes the first task that is queued, for this worker.
  std::optional<uint32_t> Pop(uint32_t worker);

  enum class Front {
    kTask,
    kOurs,    // nothing; whoever pushes there learns that this worker looks
    kOthers,  // the same, of another worker
  };
  // What a worker that looks for a task finds at the front. The mark stands in the very word that a push exchanges, so that to
  // be seen costs no other way between processors.
  Front Look(uint32_t worker);
  // Before it stops: takes its mark away. False where a task has come in its place.
  bool StopLooking(uint32_t worker);
  // Takes a dead worker's mark away.
  void Bury(uint32_t worker);

  // Whether there is an entry; it may be of a task that is queued no longer.
  bool Empty() const;
  // How many entries; approximate while others are at work.
  uint32_t size() const;

 private:
  uint32_t HeadBefore(uint32_t turn);

  std::shared_ptr<const PoolSegment> segment_;
  std::atomic<uint32_t> head_seen_{0};  // by the last push that had to look
};

}  // namespace ko::pool

#endif  // KO_POOL_TASK_QUEUE_H_
