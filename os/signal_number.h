#ifndef KO_OS_SIGNAL_NUMBER_H_
#define KO_OS_SIGNAL_NUMBER_H_

#include <csignal>

namespace ko::os {

// Whether kill(2) has a signal of this number; 0, which only asks, is none. Threads: any. Async-signal-safe.
inline bool IsSignalNumber(int number) { return number > 0 && number <= SIGRTMAX; }

}  // namespace ko::os

#endif  // KO_OS_SIGNAL_NUMBER_H_
