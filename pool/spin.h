#ifndef KO_POOL_SPIN_H_
#define KO_POOL_SPIN_H_

#include <algorithm>
#include <atomic>
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
  const auto look = [&condition] {
    for (int i = 0; i < 64; ++i) {
      if (condition()) return true;
      os::Relax();
    }
    return false;
  };
  if (look()) return true;  // and the clock costs nothing
  const absl::Duration end = os::MonotonicNow() + kSpin;
  do {
    if (look()) return true;
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

// Whether to look at all, as far as experience tells: who looks in vain has kept a processor from others, from the one that is
// waited for, too, where that is to run on the same one. Each time in vain but the first doubles how often it is left out. A
// guess: threads may overwrite one another's.
class SpinHabit {
 public:
  bool Pays() {
    const int left_out = left_out_.load(std::memory_order_relaxed);
    if (left_out == 0) return true;
    left_out_.store(left_out - 1, std::memory_order_relaxed);
    return false;
  }
  void Learn(bool found) {
    const int vain = found ? 0 : std::min(in_vain_.load(std::memory_order_relaxed) * 2 + 1, 2 * kMostLeftOut);
    in_vain_.store(vain, std::memory_order_relaxed);
    left_out_.store(vain / 2, std::memory_order_relaxed);
  }

 private:
  static constexpr int kMostLeftOut = 1023;
  std::atomic<int> in_vain_{0};
  std::atomic<int> left_out_{0};
};

}  // namespace ko::pool

#endif  // KO_POOL_SPIN_H_
