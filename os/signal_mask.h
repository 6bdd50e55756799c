#ifndef KO_OS_SIGNAL_MASK_H_
#define KO_OS_SIGNAL_MASK_H_

#include <csignal>

namespace ko::os {

// Blocks every signal of the calling thread for a while. Async-signal-safe.
class ScopedAllSignalsBlocked {
 public:
  ScopedAllSignalsBlocked();
  ~ScopedAllSignalsBlocked();
  ScopedAllSignalsBlocked(const ScopedAllSignalsBlocked&) = delete;
  ScopedAllSignalsBlocked& operator=(const ScopedAllSignalsBlocked&) = delete;

  const sigset_t& previous() const { return previous_; }

 private:
  sigset_t previous_;
};

// The calling thread's mask is again what it was: pthread_sigmask without a look at the set, which costs a new process the
// page that the C library does it in. Async-signal-safe.
void RestoreSignalMask(const sigset_t& mask);

// Gives every signal that has a handler its default action again; ignored signals stay ignored, as exec(2)
// does it. Async-signal-safe.
void ResetSignalHandlers();

}  // namespace ko::os

#endif  // KO_OS_SIGNAL_MASK_H_
