#include "ko/os/queue_signal.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace ko::os {

bool QueueSignal(pid_t thread_id, const siginfo_t& info) {
  return ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread_id, info.si_signo, &info) == 0;
}

}  // namespace ko::os
