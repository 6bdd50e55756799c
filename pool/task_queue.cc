#include "ko/pool/task_queue.h"

#include <atomic>

#include "ko/os/prefetch.h"

namespace ko::pool {
namespace {

// An entry is the turn at which it was written, so that one of an earlier round is told from it, and the task, or the mark of
// a worker that looks for one, or that nobody does. Zeroed memory is no entry of any turn that comes before the ring has gone
// around.
constexpr uint32_t kMark = uint32_t{1} << 31;
constexpr uint32_t kNobody = ~uint32_t{0};
uint64_t Entry(uint32_t turn, uint32_t what) { return uint64_t{turn + 1} << 32 | what; }
uint64_t MarkOf(uint32_t turn, uint32_t worker) { return Entry(turn, kMark | worker); }
// Each look finds the ring as it is, or finds that another process has changed it meanwhile. Far more of them than there are
// entries are those of a ring that has been overwritten.
constexpr size_t kLooksPerEntry = 1000;

// Whether a distance between the ends is one of a tail that is behind the head.
bool IsBehind(uint32_t distance) { return static_cast<int32_t>(distance) < 0; }

bool IsOf(uint64_t entry, uint32_t turn) { return static_cast<uint32_t>(entry >> 32) == turn + 1; }
bool IsMark(uint64_t entry) { return (static_cast<uint32_t>(entry) & kMark) != 0; }
bool IsTask(uint64_t entry, uint32_t turn) { return IsOf(entry, turn) && !IsMark(entry); }
// Whether one of so many workers looks here.
bool IsSeen(uint64_t entry, uint32_t turn, uint32_t workers) {
  return IsOf(entry, turn) && IsMark(entry) && (static_cast<uint32_t>(entry) & ~kMark) < workers;
}

}  // namespace

TaskQueue::Pushed TaskQueue::Push(uint32_t task) {
  PoolHeader& header = segment_->header();
  const auto entries = segment_->queue();
  for (size_t looks = 0; looks < kLooksPerEntry * entries.size(); ++looks) {
    uint32_t turn = header.tail.load(std::memory_order_acquire);
    std::atomic<uint64_t>& entry = entries[turn & (entries.size() - 1)];
    os::PrefetchToWrite(&entry);
    uint64_t old = entry.load(std::memory_order_acquire);
    // A mark of this very turn says that the head is here: one way less between processors.
    if (!IsOf(old, turn) || !IsMark(old)) {
      if (header.tail.load(std::memory_order_acquire) != turn) continue;
      const uint32_t waiting = turn - HeadBefore(turn);
      if (IsBehind(waiting)) {
        // The entry of this turn has been written, and taken, before its pusher could move the tail on.
        header.tail.compare_exchange_strong(turn, turn + 1);
        continue;
      }
      if (waiting > entries.size()) continue;
    }
    const bool taken = IsTask(old, turn);
    // Sequentially consistent: whoever goes to sleep marks that before it looks here; see WakeWorker.
    if (!taken && !entry.compare_exchange_strong(old, Entry(turn, task))) continue;
    // The tail is moved on by whoever gets to it: a pusher may have died in between.
    header.tail.compare_exchange_strong(turn, turn + 1);
    if (!taken) return IsSeen(old, turn, segment_->geometry().workers) ? Pushed::kSeen : Pushed::kUnseen;
  }
  return Pushed::kOverwritten;
}

// An old one where that leaves room: its line is the workers'. Nobody has gone further than one beyond the tail, and its entry
// tells that.
uint32_t TaskQueue::HeadBefore(uint32_t turn) {
  uint32_t head = head_seen_.load(std::memory_order_relaxed);
  if (turn - head < segment_->queue().size()) return head;
  head = segment_->header().head.load(std::memory_order_acquire);
  head_seen_.store(head, std::memory_order_relaxed);
  return head;
}

std::optional<uint32_t> TaskQueue::Pop(uint32_t worker) {
  PoolHeader& header = segment_->header();
  const auto entries = segment_->queue();
  for (size_t looks = 0; looks < kLooksPerEntry * entries.size(); ++looks) {
    uint32_t turn = header.head.load(std::memory_order_acquire);
    const uint64_t entry = entries[turn & (entries.size() - 1)].load(std::memory_order_seq_cst);
    if (!IsTask(entry, turn)) {
      if (header.head.load(std::memory_order_acquire) == turn) return std::nullopt;
      continue;
    }
    const uint32_t task = static_cast<uint32_t>(entry);
    bool taken = false;
    if (task < segment_->geometry().tasks) {
      std::atomic<uint32_t>& word = segment_->task(task).state;
      os::PrefetchToWrite(&word);
      // The next look, or the next mark, is there.
      std::atomic<uint64_t>& next = entries[(turn + 1) & (entries.size() - 1)];
      os::PrefetchToWrite(&next);
      const uint64_t after = next.load(std::memory_order_relaxed);
      if (IsTask(after, turn + 1) && static_cast<uint32_t>(after) < segment_->geometry().tasks)
        os::PrefetchToWrite(&segment_->task(static_cast<uint32_t>(after)).state);
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

TaskQueue::Front TaskQueue::Look(uint32_t worker) {
  const std::atomic<uint32_t>& head = segment_->header().head;
  const auto entries = segment_->queue();
  for (;;) {
    const uint32_t turn = head.load(std::memory_order_acquire);
    std::atomic<uint64_t>& entry = entries[turn & (entries.size() - 1)];
    uint64_t seen = entry.load(std::memory_order_acquire);
    if (IsTask(seen, turn)) return Front::kTask;
    if (IsSeen(seen, turn, segment_->geometry().workers))
      return seen == MarkOf(turn, worker) ? Front::kOurs : Front::kOthers;
    // Of a later round, it may be another turn's task.
    if (head.load(std::memory_order_acquire) != turn) return Front::kOthers;
    if (entry.compare_exchange_strong(seen, MarkOf(turn, worker))) return Front::kOurs;
  }
}

bool TaskQueue::StopLooking(uint32_t worker) {
  const uint32_t turn = segment_->header().head.load(std::memory_order_acquire);
  const auto entries = segment_->queue();
  uint64_t mark = MarkOf(turn, worker);
  std::atomic<uint64_t>& entry = entries[turn & (entries.size() - 1)];
  return entry.compare_exchange_strong(mark, Entry(turn, kNobody)) || !IsTask(mark, turn);
}

void TaskQueue::Bury(uint32_t worker) {
  for (std::atomic<uint64_t>& entry : segment_->queue()) {
    uint64_t seen = entry.load(std::memory_order_acquire);
    if (static_cast<uint32_t>(seen) == (kMark | worker)) entry.compare_exchange_strong(seen, seen | kNobody);
  }
}

bool TaskQueue::Empty() const {
  const uint32_t turn = segment_->header().head.load(std::memory_order_acquire);
  const auto entries = segment_->queue();
  return !IsTask(entries[turn & (entries.size() - 1)].load(std::memory_order_seq_cst), turn);
}

uint32_t TaskQueue::size() const {
  const uint32_t waiting = segment_->header().tail.load(std::memory_order_relaxed) -
                           segment_->header().head.load(std::memory_order_relaxed);
  return IsBehind(waiting) ? 0 : waiting;
}

}  // namespace ko::pool
