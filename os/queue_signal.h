#ifndef KO_OS_QUEUE_SIGNAL_H_
#define KO_OS_QUEUE_SIGNAL_H_

#include <sys/types.h>

#include <csignal>

namespace ko::os {

// Queues a signal for one thread of this process with just this information, as if it had come so. False
// where the kernel has no room for it (RLIMIT_SIGPENDING) or there is no such thread. Async-signal-safe.
bool QueueSignal(pid_t thread_id, const siginfo_t& info);

}  // namespace ko::os

#endif  // KO_OS_QUEUE_SIGNAL_H_
