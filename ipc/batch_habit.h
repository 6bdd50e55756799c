#ifndef KO_IPC_BATCH_HABIT_H_
#define KO_IPC_BATCH_HABIT_H_

#include <algorithm>
#include <cstdint>

namespace ko {

// For how many messages, or how much room, a thread that has to wait waits at once. Who takes each message as soon as it is
// there works on the cache line that the other side needs for the next one. So where more than what was waited for came each
// time, wait for twice as much; where less came, as in an exchange of questions and answers, for half.
//
// Pure: no clock, no kernel. Threads: one. Fork, signals, crash: a plain value.
class BatchHabit {
 public:
  static constexpr uint64_t kMost = 32;

  // A wait at `position` begins. How many steps there are to be room for.
  uint64_t Wait(uint64_t position) {
    const uint64_t run = position - last_;
    last_ = position;
    if (run > wanted_) {
      wanted_ = std::min(2 * wanted_, kMost);
    } else if (run < wanted_) {
      wanted_ = std::max<uint64_t>(wanted_ / 2, 1);
    }
    return wanted_;
  }

 private:
  uint64_t last_ = 0;
  uint64_t wanted_ = 1;
};

}  // namespace ko

#endif  // KO_IPC_BATCH_HABIT_H_
