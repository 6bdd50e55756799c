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

// Gives every signal that has a handler its default action again; ignored signals stay ignored, as exec(2)
// does it. Async-signal-safe.
void ResetSignalHandlers();

}  // namespace ko::os

#endif  // KO_OS_SIGNAL_MASK_H_
