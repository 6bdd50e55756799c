#include "ko/pool/task_queue.h"

#include <atomic>

namespace ko::pool {
namespace {

// An entry is the turn at which it was written, so that one of an earlier round is told from it, and the task. Zeroed
// memory is no entry of any turn that comes before the ring has gone around.
uint64_t Entry(uint32_t turn, uint32_t task) { return uint64_t{turn + 1} << 32 | task; }
// Each look finds the ring as it is, or finds that another process has changed it meanwhile. Far more of them than there are
// entries are those of a ring that has been overwritten.
constexpr size_t kLooksPerEntry = 1000;

// Whether a distance between the ends is one of a tail that is behind the head.
bool IsBehind(uint32_t distance) { return static_cast<int32_t>(distance) < 0; }

bool IsOf(uint64_t entry, uint32_t turn) { return static_cast<uint32_t>(entry >> 32) == turn + 1; }

}  // namespace

bool TaskQueue::Push(uint32_t task) {
  PoolHeader& header = segment_->header();
  const auto entries = segment_->queue();
  for (size_t looks = 0; looks < kLooksPerEntry * entries.size(); ++looks) {
    uint32_t turn = header.tail.load(std::memory_order_acquire);
    std::atomic<uint64_t>& entry = entries[turn & (entries.size() - 1)];
    uint64_t old = entry.load(std::memory_order_acquire);
    if (header.tail.load(std::memory_order_acquire) != turn) continue;
    const uint32_t waiting = turn - header.head.load(std::memory_order_acquire);
    if (IsBehind(waiting)) {
      // The entry of this turn has been written, and taken, before its pusher could move the tail on.
      header.tail.compare_exchange_strong(turn, turn + 1);
      continue;
    }
    if (waiting > entries.size()) continue;
    // Sequentially consistent: whoever goes to sleep marks that before it looks here; see WakeWorker.
    const bool pushed = !IsOf(old, turn) && entry.compare_exchange_strong(old, Entry(turn, task));
    // The tail is moved on by whoever gets to it: a pusher may have died in between.
    header.tail.compare_exchange_strong(turn, turn + 1);
    if (pushed) return true;
  }
  return false;
}

std::optional<uint32_t> TaskQueue::Pop(uint32_t worker) {
  PoolHeader& header = segment_->header();
  const auto entries = segment_->queue();
  for (size_t looks = 0; looks < kLooksPerEntry * entries.size(); ++looks) {
    uint32_t turn = header.head.load(std::memory_order_acquire);
    const uint64_t entry = entries[turn & (entries.size() - 1)].load(std::memory_order_seq_cst);
    if (!IsOf(entry, turn)) {
      if (header.head.load(std::memory_order_acquire) == turn) return std::nullopt;
      continue;
    }
    const uint32_t task = static_cast<uint32_t>(entry);
    bool taken = false;
    if (task < segment_->geometry().tasks) {
      std::atomic<uint32_t>& word = segment_->task(task).state;
      // Pairs with the release of whoever queued it: the arguments are there.
      uint32_t seen = word.load(std::memory_order_acquire);
      for (TaskState state(seen); state.listed() && !taken; state = TaskState(seen)) {
        const bool queued = state.phase() == TaskPhase::kQueued;
        const TaskState next =
            queued ? state.NotListed().With(TaskPhase::kRunning).WithWorker(worker) : state.NotListed();
        if (word.compare_exchange_weak(seen, next.word(), std::memory_order_acq_rel)) {
          if (!queued) break;
          taken = true;
        }
      }
    }
    header.head.compare_exchange_strong(turn, turn + 1);
    if (taken) return task;
  }
  return std::nullopt;
}

bool TaskQueue::Empty() const {
  const uint32_t turn = segment_->header().head.load(std::memory_order_acquire);
  const auto entries = segment_->queue();
  return !IsOf(entries[turn & (entries.size() - 1)].load(std::memory_order_seq_cst), turn);
}

uint32_t TaskQueue::size() const {
  const uint32_t waiting = segment_->header().tail.load(std::memory_order_relaxed) -
                           segment_->header().head.load(std::memory_order_relaxed);
  return IsBehind(waiting) ? 0 : waiting;
}

}  // namespace ko::pool
