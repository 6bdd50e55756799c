#include "ko/os/file_size_signal.h"

#include <pthread.h>

#include <cerrno>
#include <ctime>

namespace ko::os {
namespace {

sigset_t OnlyFileSize() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGXFSZ);
  return signals;
}

bool IsPending() {
  sigset_t pending;
  return ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGXFSZ) == 1;
}

}  // namespace

ScopedFileSizeSignalHeldBack::ScopedFileSizeSignalHeldBack() {
  const sigset_t signals = OnlyFileSize();
  ::pthread_sigmask(SIG_BLOCK, &signals, &previous_);
  was_pending_ = IsPending();
}

ScopedFileSizeSignalHeldBack::~ScopedFileSizeSignalHeldBack() {
  const int error_number = errno;  // the call's
  const sigset_t signals = OnlyFileSize();
  constexpr timespec kAtOnce = {};
  if (!was_pending_ && IsPending()) ::sigtimedwait(&signals, nullptr, &kAtOnce);
  ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
  errno = error_number;
}

}  // namespace ko::os
