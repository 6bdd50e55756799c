#ifndef KO_OS_THREAD_ID_H_
#define KO_OS_THREAD_ID_H_

#include <sys/types.h>

namespace ko::os {

// gettid(2) of the calling thread, without the system call from the second time on. Right in forked children,
// however they were made (see process_mark.h).
pid_t ThreadId();

}  // namespace ko::os

#endif  // KO_OS_THREAD_ID_H_
