#include "ko/os/signal_mask.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#include "absl/base/config.h"
#include "ko/os/child_code.h"

namespace ko::os {

ScopedAllSignalsBlocked::ScopedAllSignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &previous_);
}

ScopedAllSignalsBlocked::~ScopedAllSignalsBlocked() { RestoreSignalMask(previous_); }

KO_CHILD_CODE void RestoreSignalMask(const sigset_t& mask) {
#ifdef ABSL_HAVE_THREAD_SANITIZER
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);  // its wrapper runs the handlers of what comes now
#else
  constexpr size_t kKernelsBytes = 8;  // of a set, whatever room the C library has for more
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, kKernelsBytes);
#endif
}

void ResetSignalHandlers() {
  for (int signo = 1; signo < NSIG; ++signo) {
    if (signo == SIGKILL || signo == SIGSTOP) continue;
    struct sigaction action;
    if (::sigaction(signo, nullptr, &action) != 0) continue;  // the C library's own
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signo, &action, nullptr);
  }
}

}  // namespace ko::os
