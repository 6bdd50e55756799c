#ifndef KO_OS_SPIN_HABIT_H_
#define KO_OS_SPIN_HABIT_H_

#include <algorithm>

#include "absl/time/time.h"

namespace ko::os {

// For how long a thread that has to wait looks again before it sleeps, learnt from how that went before. Looking pays where
// the other side is at work, and answers sooner than a sleep would take; where it sleeps as well, looking is wasted, and
// keeps it from running if it is to run on the same processor. So who has looked in vain sleeps at once the next times,
// twice as often after each, and then looks again for long enough to see an answer of one that has to wake up first.
//
// Pure: no clock, no kernel. Threads: one. Fork, signals, crash: a plain value.
class SpinHabit {
 public:
  // Above what waking a process on another processor takes (some 25 us), so that two that sleep because the other one does
  // come to look at the same time.
  static constexpr absl::Duration kLongest = absl::Microseconds(40);
  // Answers within this time come from somebody who was awake.
  static constexpr absl::Duration kHot = absl::Microseconds(5);
  // How often later answers are waited for in the hope of sooner ones.
  static constexpr int kColdAnswers = 32;
  static constexpr int kMostSkipped = 256;

  // Of the wait that begins: whether to look for up to kLongest, or to sleep at once.
  bool WantsToSpin() {
    if (skips_ == 0) return true;
    --skips_;
    return false;
  }
  // Whether the last time went well, so that nothing needs to be asked before looking again.
  bool is_hot() const { return hot_; }

  void Found(absl::Duration after) {
    hot_ = after <= kHot;
    if (hot_) {
      cold_answers_ = 0;
      back_off_ = 0;
    } else if (++cold_answers_ >= kColdAnswers) {
      FoundNothing();
    }
  }
  void FoundNothing() {
    hot_ = false;
    cold_answers_ = 0;
    back_off_ = std::clamp(2 * back_off_, 1, kMostSkipped);
    skips_ = back_off_;
  }

 private:
  bool hot_ = false;
  int cold_answers_ = 0;
  int back_off_ = 0;
  int skips_ = 0;
};

}  // namespace ko::os

#endif  // KO_OS_SPIN_HABIT_H_
