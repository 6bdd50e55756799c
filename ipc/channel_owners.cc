#include "ko/ipc/channel_owners.h"

#include <climits>

#include "ko/os/futex.h"
#include "ko/os/membarrier.h"

namespace ko {
namespace {

// Sequentially consistent as the steps on state words are: who finds a side nobody's, and takes a step there, and who takes
// the side, and then a step, agree on the order. So do those with the word of Close.
constexpr auto kTotal = std::memory_order_seq_cst;

void WakeAll(const os::RobustFutex& busy) { os::FutexWake(busy.word, os::FutexScope::kShared, INT_MAX); }

}  // namespace

os::RobustFutex& ChannelOwners::BusyOf(const ChannelSide& side, uint32_t slot) const {
  ChannelParticipant& participant = segment_.participants[slot];
  return &side == &segment_.header->senders ? participant.sends : participant.receives;
}

bool ChannelOwners::Take(ChannelSide& side, uint32_t slot) const {
  if (!os::AcceptBarriers()) return false;
  uint64_t owner = side.owner.load(kTotal);
  if (!IsNobodys(owner)) return true;
  side.owner.compare_exchange_strong(owner, TakenBy(slot, (owner >> kCountShift) + 1), kTotal);
  return true;
}

uint64_t ChannelOwners::TakeAlone(ChannelSide& side, uint32_t slot) const {
  uint64_t owner = side.owner.load(kTotal);
  if (!IsOf(owner, slot) || IsWanted(owner)) return kNever;
  const uint64_t alone = owner | kAlone;
  return side.owner.compare_exchange_strong(owner, alone, kTotal) ? alone : kNever;
}

void ChannelOwners::GiveBack(ChannelSide& side, uint64_t alone) const {
  side.owner.compare_exchange_strong(alone, Nobodys(alone), kTotal);
}

absl::Status ChannelOwners::TakeBack(ChannelSide& side, uint32_t slot, robust_list_head& robust_list,
                                     const os::Deadline& deadline, const Interrupt& interrupt) const {
  uint64_t owner = side.owner.load(kTotal);
  while (!IsNobodys(owner)) {
    const uint32_t owner_slot = SlotOf(owner);
    if (!participants_.IsSlot(owner_slot)) {
      return absl::DataLossError("the channel's shared memory has been overwritten: the owner of a side");
    }
    if (owner_slot != slot) {
      if (!IsWanted(owner)) {
        if (!side.owner.compare_exchange_strong(owner, owner | kWanted, kTotal)) continue;
        owner |= kWanted;
      }
      // Also where somebody else has marked it, who may have died before it came here.
      if (absl::Status status = os::BarrierForAll(); !status.ok()) return status;
      absl::Status status = AwaitIdle(side, owner, owner_slot, robust_list, deadline, interrupt);
      if (!status.ok()) return status;
    }
    // Those whom a dead one should have woken. Nobody sleeps there any more when the side becomes nobody's, and then another
    // thread's, which may stand in the same slot.
    WakeAll(BusyOf(side, owner_slot));
    if (side.owner.compare_exchange_strong(owner, Nobodys(owner), kTotal)) break;
  }
  return absl::OkStatus();
}

absl::Status ChannelOwners::AwaitIdle(const ChannelSide& side, uint64_t wanted, uint32_t owner_slot,
                                      robust_list_head& robust_list, const os::Deadline& deadline,
                                      const Interrupt& interrupt) const {
  os::RobustFutex& busy = BusyOf(side, owner_slot);
  // If the owner dies, the kernel wakes one of many that wait, who wakes the others; and that one may die as well.
  AnnounceRobust(robust_list, busy, os::RobustKind::kPlain);
  absl::Status status;
  // Acquire: pairs with the release at the end of a step; the kernel orders the mark that it makes itself.
  uint32_t word = busy.word.load(std::memory_order_acquire);
  while ((word & FUTEX_TID_MASK) != 0 && !participants_.IsDead(owner_slot)) {
    if ((word & FUTEX_WAITERS) == 0 &&
        !busy.word.compare_exchange_weak(word, word | FUTEX_WAITERS, std::memory_order_acquire)) {
      continue;
    }
    // While it is marked as it was before the barrier, the end of this step finds the mark. Each later step has no mark of
    // sleepers.
    if (side.owner.load(kTotal) != wanted) break;
    if (interrupt.fired()) status = absl::CancelledError("interrupted");
    if (deadline.expired()) status = absl::DeadlineExceededError("the owner of the side is in a step");
    if (!status.ok()) break;
    os::FutexWaitList waits;
    waits.Add(busy.word, word | FUTEX_WAITERS, os::FutexScope::kShared);
    if (interrupt.word != nullptr) waits.Add(*interrupt.word, interrupt.expected, os::FutexScope::kPrivate);
    waits.Sleep(deadline);
    word = busy.word.load(std::memory_order_acquire);
  }
  os::RetractRobust(robust_list);
  return status;
}

void OwnersStep::TellWhoWaits(const os::RobustFutex& busy) { WakeAll(busy); }

}  // namespace ko
