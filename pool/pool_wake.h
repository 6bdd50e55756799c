#ifndef KO_POOL_POOL_WAKE_H_
#define KO_POOL_POOL_WAKE_H_

#include "ko/pool/pool_segment.h"
#include "ko/pool/task_queue.h"

// Who wakes whom in a pool. A wake-up that dies with its sender or its receiver is made good by the supervisor, which wakes
// everybody concerned after each death.
namespace ko::pool {

// After something was queued that no worker has seen: wakes one that sleeps. A worker that goes to sleep looks once more
// after it has said so.
void WakeWorker(const PoolSegment& segment);
void WakeAllWorkers(const PoolSegment& segment);

// After a task is done: wakes those who wait for room, when half of the queue is free, so that not every task costs a
// wake-up.
void SignalRoom(const PoolSegment& segment, const TaskQueue& queue);
void WakeAllForRoom(const PoolSegment& segment);

// Wakes those who sleep on the task's state.
void WakeAwaiting(const TaskSlot& task);

}  // namespace ko::pool

#endif  // KO_POOL_POOL_WAKE_H_
