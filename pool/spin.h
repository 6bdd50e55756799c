#ifndef KO_POOL_SPIN_H_
#define KO_POOL_SPIN_H_

#include <thread>

#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/relax.h"

namespace ko::pool {

// About twice what waking a sleeper takes: whoever looks for that long and then sleeps has spent at most three times what
// the best choice would have.
inline constexpr absl::Duration kSpin = absl::Microseconds(50);

// Looks whether something has happened, for a short time.
template <class Condition>
bool SpinUntil(Condition condition) {
  const absl::Duration end = os::MonotonicNow() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (condition()) return true;
      os::Relax();
    }
  } while (os::MonotonicNow() < end);
  return condition();
}

// The same where there are more threads than processors: lets others run between two looks.
template <class Condition>
bool YieldUntil(Condition condition) {
  const absl::Duration end = os::MonotonicNow() + kSpin;
  do {
    if (condition()) return true;
    std::this_thread::yield();
  } while (os::MonotonicNow() < end);
  return condition();
}

}  // namespace ko::pool

#endif  // KO_POOL_SPIN_H_
