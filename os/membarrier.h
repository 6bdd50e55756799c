#ifndef KO_OS_MEMBARRIER_H_
#define KO_OS_MEMBARRIER_H_

#include "absl/status/status.h"

namespace ko::os {

// A barrier that one thread pays for in the place of others, for pairs of which one side runs often and the other hardly
// ever. The frequent side stores, and then loads, with nothing but a std::atomic_signal_fence between; the rare side stores,
// calls BarrierForAll, and then loads. One of the two sees the other's store (membarrier(2),
// MEMBARRIER_CMD_GLOBAL_EXPEDITED).
//
// Threads: any.
// Fork: a child takes part as its parent does, and may call AcceptBarriers again.
// Signals: both may be called in a handler.
// Crash: nothing is left.

// Whether this process's threads are reached by barriers from now on. False where the kernel knows none (before Linux 4.16),
// or a filter refuses them.
bool AcceptBarriers();

// Returns when each thread of the processes that accept barriers has passed one, or does not run. Errors: those of
// membarrier(2).
absl::Status BarrierForAll();

}  // namespace ko::os

#endif  // KO_OS_MEMBARRIER_H_
