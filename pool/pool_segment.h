#ifndef KO_POOL_POOL_SEGMENT_H_
#define KO_POOL_POOL_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/os/robust_list.h"
#include "ko/os/shared_mapping.h"
#include "ko/pool/task_state.h"

// The memory that a pool's processes share: the process that has the pool, the supervisor, the workers. It is made before
// they are forked and has no name, so how it is laid out is known to each from its own memory, never read from the shared
// one. What a worker may have overwritten is checked before use.
namespace ko::pool {

// What ended a task that gave no result of its own.
enum class TaskEnd : uint32_t {
  kNone,  // it ran to its end
  kExited,
  kSignaled,
  kUnknown,
  kOverdue,
  kCancelled,
  kStopped,  // with the whole pool
};

// A small task needs nothing but the line of its state, which goes to the worker and back.
struct alignas(64) TaskSlot {
  static constexpr size_t kNearResults = 16;
  static constexpr size_t kInlineArguments = 192;
  static constexpr size_t kInlineResults = 232;
  static constexpr uint8_t kResultsElsewhere = 255;

  // The first line. What the pool's process writes before it queues the task:
  std::atomic<uint32_t> state;  // TaskState; the caller looks at it while it waits
  std::atomic<uint32_t> items;  // calls of the function; the arguments of each follow one another
  std::atomic<uint64_t> function;
  std::atomic<uint64_t> argument_bytes;
  std::atomic<uint8_t> limited;  // whether there is a time limit
  std::atomic<uint8_t> timed;    // whether run_ns is wanted
  std::atomic<uint8_t> end;      // TaskEnd; the supervisor's word
  // What the worker writes, of no meaning where items_started is 0:
  std::atomic<uint8_t> near_result_bytes;  // of the items that have ended, or kResultsElsewhere
  std::atomic<uint32_t> items_started;     // when the task is done; before that its worker knows
  char near_results[kNearResults];
  char arguments[kInlineArguments];  // begin in this line

  // Of the pool's process and the supervisor.
  std::atomic<int64_t> time_limit_ns;  // where it is limited
  std::atomic<uint32_t> retries_left;
  std::atomic<int32_t> end_value;

  // What the worker writes where the results are not near. Several items go there, while the caller may look at the state.
  alignas(64) std::atomic<uint64_t> result_bytes;  // of the items that have ended
  std::atomic<uint32_t> result_is_large;
  std::atomic<int64_t> run_ns;
  char results[kInlineResults];

  // Where an item has been started. Acquire: pairs with the release of the worker, which may have died in the next one.
  uint64_t ResultBytes() const {
    const uint8_t near = near_result_bytes.load(std::memory_order_acquire);
    return near == kResultsElsewhere ? result_bytes.load(std::memory_order_acquire) : near;
  }
};
static_assert(sizeof(TaskSlot) == 512);

struct alignas(64) WorkerSlot {
  std::atomic<uint32_t> bell;  // a worker sleeps on it
  std::atomic<int32_t> pid;
  std::atomic<uint32_t> was_useful;  // it has taken a task
  // Of the task that it runs, and 0 before it takes another one.
  std::atomic<uint32_t> items_started;  // counted before the function is called
  std::atomic<int64_t> overdue_at_ns;   // of the item that runs; 0: it has no limit
};

// One bit for each worker.
class WorkerSet {
 public:
  void Add(uint32_t worker) { words_[worker / 64].fetch_or(Bit(worker)); }
  // Whether it was there.
  bool Remove(uint32_t worker) { return (words_[worker / 64].fetch_and(~Bit(worker)) & Bit(worker)) != 0; }
  bool Empty(uint32_t workers) const { return First(workers) == workers; }
  uint32_t First(uint32_t workers) const;  // `workers` where there is none
  uint32_t Count(uint32_t workers) const;

 private:
  static uint64_t Bit(uint32_t worker) { return uint64_t{1} << (worker % 64); }
  std::atomic<uint64_t> words_[TaskState::kMaxWorkers / 64];
};

enum class PoolOrder : uint32_t {
  kWork,
  kFinish,  // workers leave when nothing is queued
  kStop,    // workers are killed
};

struct PoolHeader {
  // The queue's ends count up for ever and wrap around.
  alignas(64) std::atomic<uint32_t> head;
  alignas(64) std::atomic<uint32_t> tail;
  alignas(64) WorkerSet asleep;
  alignas(64) WorkerSet looking;            // awake, and without a task for a while
  alignas(64) std::atomic<uint32_t> order;  // PoolOrder
  std::atomic<uint32_t> room_wanted;        // somebody sleeps on `room`
  std::atomic<int64_t> next_look_ns;        // when the supervisor looks at time limits next
  alignas(64) std::atomic<uint32_t> room;
  std::atomic<uint32_t> started;  // all workers have been forked; slept on
  os::RobustFutex supervisor;     // names the supervisor as long as it lives
};

// Threads: any. Fork: all processes have the same memory. Signals: none. Crash: see the users of each part. Errors: Create
// answers those of SharedMapping.
class PoolSegment {
 public:
  struct Geometry {
    uint32_t workers;
    uint32_t tasks;
    size_t message_bytes;  // the longest arguments, and the longest result of an item
  };
  static absl::StatusOr<std::shared_ptr<PoolSegment>> Create(const Geometry& geometry);

  const Geometry& geometry() const { return geometry_; }
  PoolHeader& header() const { return *At<PoolHeader>(0); }
  WorkerSlot& worker(uint32_t index) const { return At<WorkerSlot>(workers_at_)[index]; }
  TaskSlot& task(uint32_t index) const { return At<TaskSlot>(tasks_at_)[index]; }

  // The queue's entries; their number is a power of two.
  absl::Span<std::atomic<uint64_t>> queue() const {
    return absl::MakeSpan(At<std::atomic<uint64_t>>(queue_at_), queue_entries_);
  }

  // Where arguments and results lie that the task's slot has no room for. There is room for results of message_bytes
  // before the last item's.
  absl::Span<char> LargeArguments(uint32_t task) const {
    return absl::MakeSpan(At<char>(ArgumentsAt(task)), arguments_bytes_);
  }
  absl::Span<char> LargeResults(uint32_t task) const {
    return absl::MakeSpan(At<char>(ResultsAt(task)), results_bytes_);
  }
  // Gives most of the memory back that so many bytes have taken there.
  void ReleaseLargeArguments(uint32_t task, size_t bytes) const { Release(ArgumentsAt(task), bytes); }
  void ReleaseLargeResults(uint32_t task, size_t bytes) const { Release(ResultsAt(task), bytes); }

 private:
  explicit PoolSegment(const Geometry& geometry);

  template <class T>
  T* At(size_t offset) const {
    return reinterpret_cast<T*>(static_cast<char*>(mapping_.data()) + offset);
  }
  size_t ArgumentsAt(uint32_t task) const { return large_at_ + task * (arguments_bytes_ + results_bytes_); }
  size_t ResultsAt(uint32_t task) const { return ArgumentsAt(task) + arguments_bytes_; }
  void Release(size_t offset, size_t bytes) const;

  const Geometry geometry_;
  size_t queue_entries_;
  size_t workers_at_, tasks_at_, queue_at_, large_at_, arguments_bytes_, results_bytes_;
  os::SharedMapping mapping_;
};

}  // namespace ko::pool

#endif  // KO_POOL_POOL_SEGMENT_H_
