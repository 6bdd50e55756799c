#ifndef KO_MANAGER_SPARE_TURN_H_
#define KO_MANAGER_SPARE_TURN_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "ko/manager/control_slots.h"

namespace ko {

inline constexpr uint32_t kSpareHasLeave = uint32_t{1} << 31;  // beside the attempt's number

// The word by which a spare becomes an attempt, ControlSlot::turn: at first of none, perhaps with leave to begin by itself at
// the end of the attempt that it follows. The manager and the spare change it with a compare-exchange each, so that one of them
// gives the turn.
//
// The manager hears of an end when the kernel has taken the dead process's memory apart, and has to be awake for it. A spare
// with leave hears of it by the robust list, ahead of that.
class SpareTurn {
 public:
  explicit SpareTurn(std::atomic<uint32_t>& word) : word_(word) {}

  // Before there is the spare: it may begin as this attempt at the other one's end.
  void GiveLeave(int attempt) {
    word_.store(static_cast<uint32_t>(attempt) | kSpareHasLeave, std::memory_order_relaxed);
  }
  // Whether it has begun. Where it has not, it will not by itself from here on.
  bool TakeLeaveBack();
  // It begins now. It has no leave.
  void Begin(int attempt);

 private:
  std::atomic<uint32_t>& word_;
};

// In an attempt that a spare is to follow: what wakes the spare at this one's end. Errors: those of HoldRobustFutex.
absl::Status TellSpareOfTheEnd(const ControlSlotRef& own);

// In a spare: sleeps until it is its turn; the number of the attempt that it is then. `followed`: the attempt at whose end it
// has leave to begin, or null. The manager's death ends it in its sleep.
int AwaitTurn(ControlSlot& own, ControlSlot* followed, pid_t followed_pid);

}  // namespace ko

#endif  // KO_MANAGER_SPARE_TURN_H_
