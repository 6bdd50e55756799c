#ifndef KO_IPC_OWNERSHIP_HABIT_H_
#define KO_IPC_OWNERSHIP_HABIT_H_

#include <algorithm>
#include <cstdint>

namespace ko {

// When a thread takes a side of a channel for itself: after so many steps in a row that nobody else's came between. To take a
// side back costs about as much as that many steps by compare-exchange cost more than an owner's. So whoever has lost it soon
// waits for twice as many the next time.
//
// Pure: no clock, no kernel. Threads: one. Fork, signals, crash: a plain value.
class OwnershipHabit {
 public:
  static constexpr uint64_t kFewestSteps = 512;
  static constexpr uint64_t kMostSteps = 1 << 17;
  // Owned for this many times the steps that it took, a side was worth taking.
  static constexpr uint64_t kWorth = 8;
  static constexpr uint64_t kStepsForOneWaking = 128;
  static constexpr uint64_t kMostCredit = 8 * kStepsForOneWaking;

  // After a step by compare-exchange at `position`: whether to take the side.
  bool WantsToOwn(uint64_t position) {
    if (position != next_) begin_ = position;
    next_ = position + 1;
    return next_ - begin_ >= wanted_;
  }
  // A step at `position` has woken somebody. Who sleeps before an owner's step pays for a barrier in the owner's thread, so a
  // side on which that happens often is not for owning. False where an owner is to give it back.
  bool Rang(uint64_t position) {
    credit_ = std::min(credit_ + (position - rang_), kMostCredit);
    rang_ = position;
    if (credit_ < kStepsForOneWaking) {
      begin_ = next_ = position;
      return false;
    }
    credit_ -= kStepsForOneWaking;
    return true;
  }
  // At `position`, the side was somebody else's again.
  void Lost(uint64_t position) {
    const bool was_worth = position - next_ >= kWorth * wanted_;
    wanted_ = was_worth ? kFewestSteps : std::min(2 * wanted_, kMostSteps);
    begin_ = next_ = position;
  }

 private:
  uint64_t begin_ = 0;  // the first of the row
  uint64_t next_ = 0;   // after its last
  uint64_t rang_ = 0;   // the last one that has woken somebody
  uint64_t credit_ = 0;
  uint64_t wanted_ = kFewestSteps;
};

}  // namespace ko

#endif  // KO_IPC_OWNERSHIP_HABIT_H_
