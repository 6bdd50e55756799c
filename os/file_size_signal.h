#ifndef KO_OS_FILE_SIZE_SIGNAL_H_
#define KO_OS_FILE_SIZE_SIGNAL_H_

#include <csignal>

#include "ko/os/errno_status.h"

namespace ko::os {

// Keeps SIGXFSZ from the process, which by default it ends: the kernel sends it to a thread that makes a file larger than
// RLIMIT_FSIZE, beside the error EFBIG of the call, which is all that a library's caller needs. One that was pending before
// stays so.
//
// Threads: the calling one's alone. Fork: none. Signals: that one. Crash: nothing is left.
class ScopedFileSizeSignalHeldBack {
 public:
  ScopedFileSizeSignalHeldBack();
  ~ScopedFileSizeSignalHeldBack();
  ScopedFileSizeSignalHeldBack(const ScopedFileSizeSignalHeldBack&) = delete;
  ScopedFileSizeSignalHeldBack& operator=(const ScopedFileSizeSignalHeldBack&) = delete;

 private:
  sigset_t previous_;
  bool was_pending_;
};

// A call that makes a file larger, again as long as it fails with EINTR.
template <class Call>
auto GrowFile(Call call) {
  const ScopedFileSizeSignalHeldBack held_back;
  return RetryEintr(call);
}

}  // namespace ko::os

#endif  // KO_OS_FILE_SIZE_SIGNAL_H_
