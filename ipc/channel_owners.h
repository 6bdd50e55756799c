#ifndef KO_IPC_CHANNEL_OWNERS_H_
#define KO_IPC_CHANNEL_OWNERS_H_

#include <atomic>
#include <cstdint>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "ko/ipc/channel_participants.h"
#include "ko/ipc/channel_segment.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"
#include "ko/os/robust_list.h"

namespace ko {

// Which thread a side of a channel belongs to, for as long as nobody else wants to take a step there.
//
// While it is nobody's, each step is a compare-exchange of a cell's state word. An owner takes its steps by plain stores, with
// no fence, and says in its slot that it is busy meanwhile. Whoever wants to take a step there, or to know what will never come
// any more, takes the side back first.
//
// - To take a side is one compare-exchange of its owner word. Other threads may have looked at the word before, and take a step
//   after. Such a step can only be at the first position that was left then; so when the new owner has taken a step by
//   compare-exchange itself, all of theirs have either been taken or fail. From there on it is alone.
// - To take it back, mark the owner word, let the kernel pass a barrier in every thread that runs (os/membarrier.h), and wait
//   until the owner is not busy: it has seen the mark then, or will see it before its next step. It is busy for a few
//   instructions; if it dies there, the kernel frees the word that says so and wakes whoever waits.
// - An owner looks at the other side's bell as everybody does, but without a fence, and if it dies the kernel does not ring it.
//   So who sleeps passes a barrier in every thread after it has set the bell, and watches the owner's life.
// - On a closed channel an owner takes no step.
class ChannelOwners {
 public:
  ChannelOwners(const ChannelSegment& segment, const ChannelParticipants& participants)
      : segment_(segment), participants_(participants) {}

  // Of a side's owner word.
  static constexpr bool IsNobodys(uint64_t owner) { return (owner & kSlotMask) == 0; }
  static constexpr bool IsOf(uint64_t owner, uint32_t slot) { return (owner & kSlotMask) == slot + 1; }
  static constexpr bool IsWanted(uint64_t owner) { return (owner & kWanted) != 0; }
  // Whether the thread in `slot` may take a step by compare-exchange.
  static constexpr bool LetsIn(uint64_t owner, uint32_t slot) {
    return IsNobodys(owner) || (IsOf(owner, slot) && !IsWanted(owner));
  }
  static constexpr uint32_t SlotOf(uint64_t owner) { return static_cast<uint32_t>(owner & kSlotMask) - 1; }
  // Whether a living thread owns it that does not stand in `slot`.
  bool IsSomebodyElses(uint64_t owner, uint32_t slot) const {
    return !IsNobodys(owner) && !IsOf(owner, slot) && participants_.IsSlot(SlotOf(owner)) &&
           !participants_.IsDead(SlotOf(owner));
  }
  // When it has been taken for the `count`th time.
  static constexpr uint64_t TakenBy(uint32_t slot, uint64_t count) {
    return count << kCountShift | (slot + 1);
  }
  static constexpr uint64_t kNever = ~uint64_t{0};  // no owner word

  // After a step of the thread in `slot`, when the side was nobody's. False where the thread has no hope of it.
  bool Take(ChannelSide& side, uint32_t slot) const;
  // After a step that the thread began when it had taken the side: the owner word for as long as the side is its alone, or
  // kNever where it is not.
  uint64_t TakeAlone(ChannelSide& side, uint32_t slot) const;

  // For an owner, who may be in a step.
  void GiveBack(ChannelSide& side, uint64_t alone) const;

  // Makes the side nobody's. `slot` is the calling thread's, or kNobody. Errors: DeadlineExceeded and Cancelled while the owner
  // is busy, which it is for long only where it is stopped; those of BarrierForAll; DataLoss.
  absl::Status TakeBack(ChannelSide& side, uint32_t slot, robust_list_head& robust_list,
                        const os::Deadline& deadline, const Interrupt& interrupt) const;

 private:
  // From the lowest bit: 20 bits of the slot, from 1, or 0 where it is nobody's; whether the owner is alone; whether somebody
  // takes the side back; and how often it has been taken, which tells each ownership from all others.
  static constexpr uint64_t kSlotMask = (uint64_t{1} << 20) - 1;
  static constexpr uint64_t kAlone = uint64_t{1} << 20;
  static constexpr uint64_t kWanted = uint64_t{1} << 21;
  static constexpr int kCountShift = 22;
  // The word of when it is nobody's again.
  static constexpr uint64_t Nobodys(uint64_t owner) { return owner >> kCountShift << kCountShift; }

  // What says that the thread in `slot` takes a step.
  os::RobustFutex& BusyOf(const ChannelSide& side, uint32_t slot) const;
  absl::Status AwaitIdle(const ChannelSide& side, uint64_t wanted, uint32_t owner_slot,
                         robust_list_head& robust_list, const os::Deadline& deadline,
                         const Interrupt& interrupt) const;

  const ChannelSegment& segment_;
  const ChannelParticipants& participants_;
};

// The time in which the owner of a side takes a step.
//
// Crash: while it is busy its robust list names the word that says so.
class OwnersStep {
 public:
  // `alone` is the owner word as it was found a moment ago.
  ABSL_ATTRIBUTE_ALWAYS_INLINE OwnersStep(const ChannelSide& side, uint64_t alone, os::RobustFutex& busy,
                                          uint32_t thread, robust_list_head& robust_list)
      : side_(side), alone_(alone), busy_(busy), robust_list_(robust_list) {
    os::AnnounceRobust(robust_list_, busy_, os::RobustKind::kPlain);
    busy_.word.store(thread, std::memory_order_relaxed);
    // Pairs with the barrier in TakeBack, as the one below.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~OwnersStep();
  OwnersStep(const OwnersStep&) = delete;
  OwnersStep& operator=(const OwnersStep&) = delete;

  // Acquire: pairs with the release where the side was taken.
  ABSL_ATTRIBUTE_ALWAYS_INLINE bool may_be_taken() const {
    return side_.owner.load(std::memory_order_acquire) == alone_;
  }

 private:
  static void TellWhoWaits(const os::RobustFutex& busy);

  const ChannelSide& side_;
  const uint64_t alone_;
  os::RobustFutex& busy_;
  robust_list_head& robust_list_;
};

ABSL_ATTRIBUTE_ALWAYS_INLINE inline OwnersStep::~OwnersStep() {
  // Release: pairs with the acquire in AwaitIdle.
  busy_.word.store(0, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (!may_be_taken()) TellWhoWaits(busy_);
  os::RetractRobust(robust_list_);
}

}  // namespace ko

#endif  // KO_IPC_CHANNEL_OWNERS_H_
