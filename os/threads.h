#ifndef KO_OS_THREADS_H_
#define KO_OS_THREADS_H_

namespace ko::os {

// Whether this process has other threads than the calling one (a sanitizer's own background thread does not
// count, nor does one that has been joined). Costs nothing in a program that never started one, else a system
// call on /proc; where that is not mounted, a program that ever started a thread counts as threaded.
bool HasOtherThreads();

}  // namespace ko::os

#endif  // KO_OS_THREADS_H_
