#include "ko/pool/pool_wake.h"

#include <atomic>
#include <climits>

#include "ko/os/futex.h"

namespace ko::pool {
namespace {

bool WakeOneOf(const PoolSegment& segment, uint32_t worker) {
  if (!segment.header().asleep.Remove(worker)) return false;
  std::atomic<uint32_t>& bell = segment.worker(worker).bell;
  bell.fetch_add(1);
  os::FutexWake(bell, os::FutexScope::kShared, 1);
  return true;
}

}  // namespace

void WakeWorker(const PoolSegment& segment) {
  const uint32_t workers = segment.geometry().workers;
  PoolHeader& header = segment.header();
  // Sequentially consistent, as are the queue's entries: either this sees the worker that is about to sleep, or that worker
  // sees the entry.
  for (uint32_t tries = 0; tries < workers; ++tries) {
    const uint32_t worker = header.asleep.First(workers);
    if (worker == workers || WakeOneOf(segment, worker)) return;
  }
}

void WakeAllWorkers(const PoolSegment& segment) {
  for (uint32_t worker = 0; worker < segment.geometry().workers; ++worker) WakeOneOf(segment, worker);
}

void SignalRoom(const PoolSegment& segment, const TaskQueue& queue) {
  // Sequentially consistent, as is the change of the task's state before: see PoolCore::AwaitRoom.
  if (segment.header().room_wanted.load(std::memory_order_seq_cst) == 0) return;
  if (queue.size() <= segment.geometry().tasks / 2) WakeAllForRoom(segment);
}

void WakeAllForRoom(const PoolSegment& segment) {
  PoolHeader& header = segment.header();
  header.room_wanted.store(0);
  header.room.fetch_add(1);
  os::FutexWake(header.room, os::FutexScope::kShared, INT_MAX);
}

void WakeAwaiting(const TaskSlot& task) { os::FutexWake(task.state, os::FutexScope::kShared, INT_MAX); }

}  // namespace ko::pool
