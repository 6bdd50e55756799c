#include "ko/os/signal_mask.h"

namespace ko::os {

ScopedAllSignalsBlocked::ScopedAllSignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &previous_);
}

ScopedAllSignalsBlocked::~ScopedAllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }

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
