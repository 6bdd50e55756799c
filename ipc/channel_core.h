#ifndef KO_IPC_CHANNEL_CORE_H_
#define KO_IPC_CHANNEL_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/batch_habit.h"
#include "ko/ipc/channel_options.h"
#include "ko/ipc/channel_owners.h"
#include "ko/ipc/channel_participants.h"
#include "ko/ipc/channel_payload.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/ownership_habit.h"
#include "ko/os/deadline.h"
#include "ko/os/event_fd.h"
#include "ko/os/interrupt.h"
#include "ko/os/process_mark.h"
#include "ko/os/robust_list.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/spin_habit.h"

namespace ko {

// A Channel without its type: messages are bytes. See Channel for its contract.
//
// A message goes through one cell of the ring, and each step of it is one compare-exchange of the cell's state word: so a
// death leaves the cell before the step or after it, and whoever needs the cell can tell that its owner has ended. A thread
// that owns its side (ChannelOwners) takes its steps by plain stores.
//
// Sleeping. Of each side at most one thread sleeps on the ring: the one inside the side's turnstile. It sleeps on several
// words together, having set the bell:
// - the bell, which the other side rings after each step that could be what the sleeper waits for;
// - the state word that is in its way, so that a step taken before it sleeps keeps it awake;
// - the life of that cell's owner, if it has one;
// - the word that tells of Close, and the caller's interrupt.
// A thread that is about to take such a step has announced the bell to the kernel (AnnounceRobust): if it dies anywhere
// between the step and the ringing, the kernel wakes the sleeper in its place. If an owner does, the sleeper watches its life.
//
// Polling. A receiver that finds nothing drains the eventfd; a sender that finds it drained rings it after it has claimed
// its cell and before it publishes. Both do so under a robust lock, and the receiver only while the next cell is empty.
class ChannelCore {
 public:
  // `message_bytes` of a typed channel; byte strings have theirs in the options.
  static absl::StatusOr<std::unique_ptr<ChannelCore>> Create(const ChannelOptions& options, bool byte_strings,
                                                             size_t message_bytes);
  static absl::StatusOr<std::unique_ptr<ChannelCore>> Open(std::string_view name, bool byte_strings,
                                                           size_t message_bytes);

  ~ChannelCore();

  absl::Status Send(std::string_view message, absl::Duration timeout, Interrupt interrupt);
  absl::Status TrySend(std::string_view message);

  // Where a message goes: `fixed` bytes of a typed channel, or else a string.
  struct Target {
    void* fixed = nullptr;
    std::string* bytes = nullptr;
  };
  absl::Status Receive(Target target, absl::Duration timeout, Interrupt interrupt);
  absl::Status TryReceive(Target target);

  absl::Status Close();
  bool closed() const;
  size_t size() const;
  size_t capacity() const { return segment_.geometry.capacity; }
  absl::StatusOr<int> poll_fd() const;

  const ChannelSegment& segment() const { return segment_; }

  // At once, by a thread that owns the side. False where it does not, or where there is anything else to do first: then the
  // calls above do it. The channel is one of `byte_strings`, or of values of `bytes` bytes each.
  bool SendAlone(std::string_view message, bool byte_strings);
  bool ReceiveAlone(Target target, size_t bytes);

 private:
  // An owner of a side is to be waited for by those who want it, so it does not copy much in one step.
  static constexpr size_t kMaxOwnersBytes = 4096;

  struct CallersSide {
    OwnershipHabit habit;
    BatchHabit batch;
    uint64_t alone = ChannelOwners::kNever;  // the owner word while the side is this thread's alone
    os::RobustFutex* busy = nullptr;         // what says so while it takes a step
  };
  // What a thread needs for each operation, found once. Of a power of two bytes, since there is a table of them.
  struct alignas(256) Caller {
    uint64_t process_mark;
    uint64_t channel;
    robust_list_head* robust_list;
    const std::atomic<uint32_t>* life;  // the word in the slot, null without one
    uint32_t life_word;
    uint32_t slot;
    mutable os::SpinHabit habit;
    mutable CallersSide sends, receives;

    // Relaxed: the word is the thread's own. It is another one when the thread is about to end.
    bool has_slot() const {
      return life != nullptr && (life->load(std::memory_order_relaxed) & ~FUTEX_WAITERS) == life_word;
    }
  };
  // The state word that a side cannot pass, as it was found.
  struct Obstacle {
    ChannelCell* cell = nullptr;
    uint64_t word = 0;
    bool has_owner = false;
  };
  // For how long a step may wait for another thread's that owns its side.
  struct Patience {
    absl::Duration timeout =
        absl::ZeroDuration();  // from when it begins to; without meaning beside a deadline
    const os::Deadline* deadline = nullptr;
    Interrupt interrupt = {};
  };
  enum class Step {
    kDone,
    kBlocked,  // by the obstacle
    kFailed,   // for good; with a status
  };
  using Attempt =
      absl::FunctionRef<Step(const os::Deadline& deadline, Obstacle& obstacle, absl::Status& status)>;

  ChannelCore(os::SharedMapping mapping, const ChannelGeometry& geometry, os::EventFd poll_fd, bool pollable);

  // Where the calling thread remembers what it needs for this channel, or has remembered it for another one.
  Caller& Remembered() const { return remembered_[id_ % kRemembered]; }
  // Whether it is the calling thread's, for this channel. A fork copies what is remembered, and its process mark tells.
  bool IsCaller(const Caller& remembered) const {
    return remembered.channel == id_ && os::IsProcessMark(remembered.process_mark);
  }
  bool IsAlone(const Caller& caller, const ChannelSide& side, const CallersSide& own) const;
  // Null, with a status, where the thread cannot use the channel.
  const Caller* FindCaller(bool needs_slot, absl::Status& status);
  const Caller* FindCallerSlowly(Caller& cached, bool needs_slot, absl::Status& status);

  // By compare-exchange.
  absl::Status SendBesideOthers(const Caller& caller, std::string_view message, absl::Duration timeout,
                                const Interrupt& interrupt);
  Step SendBesideOthers(const Caller& caller, std::string_view message, const Patience& patience,
                        Obstacle& obstacle, absl::Status& status);
  Step SendClaimed(const Caller& caller, std::string_view message, uint64_t position, absl::Status& status);
  absl::Status ReceiveBesideOthers(const Caller& caller, Target target, absl::Duration timeout,
                                   const Interrupt& interrupt);
  Step ReceiveBesideOthers(const Caller& caller, Target target, const Patience& patience, Obstacle& obstacle,
                           absl::Status& status);

  absl::Status TooLong(std::string_view message) const;
  void FillCell(ChannelCell& cell, std::string_view message, bool byte_strings) const;
  size_t BytesIn(const ChannelCell& cell) const;  // as the cell says

  // The end of an owner's step, which has made `position` the other side's.
  void Pass(ChannelSide& side, ChannelSide& other, CallersSide& own, uint64_t position);
  void RingAsOwner(ChannelSide& side, ChannelSide& other, CallersSide& own, uint64_t position);
  bool LetsIn(const Caller& caller, const ChannelSide& side) const;
  absl::Status TakeBack(const Caller& caller, ChannelSide& side, const Patience& patience) const;
  // After a step by compare-exchange.
  void ConsiderOwning(const Caller& caller, ChannelSide& side, CallersSide& own, uint64_t position);

  // One step from a position at which the side cannot go on: to a later one, or nowhere. The call began at `start`.
  enum class Scan { kAgain, kBlocked, kFailed };
  Scan PassSender(uint64_t start, uint64_t& position, uint64_t word, Obstacle& obstacle,
                  absl::Status& status);
  Scan PassReceiver(uint64_t start, uint64_t& position, uint64_t word, Obstacle& obstacle,
                    absl::Status& status);
  Scan Advance(const ChannelSide& side, uint64_t start, uint64_t next, uint64_t& position,
               absl::Status& status);
  Scan PassOwned(ChannelCell& cell, uint64_t word, Obstacle& obstacle, absl::Status& status);

  // True, with a status, where it is done.
  bool Spin(const Caller& caller, const ChannelSide& side, const os::Deadline& deadline, Attempt attempt,
            absl::Status& status);
  absl::Status Block(const Caller& caller, ChannelSide& side, absl::Duration timeout,
                     const Interrupt& interrupt, Attempt attempt);
  absl::Status BlockInside(const Caller& caller, ChannelSide& side, const os::Deadline& deadline,
                           const Interrupt& interrupt, Attempt attempt);
  void Sleep(const Caller& caller, const ChannelSide& side, const Obstacle& obstacle,
             const os::Deadline& deadline, const Interrupt& interrupt);

  absl::Status RingPollFd();
  absl::Status DrainPollFd();
  bool MayHaveMessage(const Caller& caller);

  const std::shared_ptr<const os::SharedMapping> mapping_;  // each participating thread keeps it mapped, too
  const ChannelSegment segment_;
  const ChannelParticipants participants_;
  const ChannelOwners owners_;
  const os::EventFd poll_fd_;
  const bool pollable_;
  const bool is_pair_;          // a message is published together with the state word
  const bool receivers_claim_;  // some messages are too long to be copied before they are taken
  const uint64_t id_;           // of no other channel of this process

  static constexpr size_t kRemembered = 8;
  static constinit thread_local Caller remembered_[kRemembered];
};

// The steps of an owner, inlined by order: compilers find them too large, and calls would cost as much again. They stand in the
// methods of Channel, before the calls that do everything else: inside of those, 64 bytes took more than twice as long.

ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool ChannelCore::closed() const {
  return segment_.header->closed.word.load(std::memory_order_seq_cst) != 0;
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool ChannelCore::IsAlone(const Caller& caller, const ChannelSide& side,
                                                              const CallersSide& own) const {
  return side.owner.load(std::memory_order_relaxed) == own.alone && IsCaller(caller) && caller.has_slot();
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ChannelCore::FillCell(ChannelCell& cell, std::string_view message,
                                                               bool byte_strings) const {
  if (byte_strings) cell.first.store(message.size(), std::memory_order_relaxed);
  StorePayload(ChannelSegment::PayloadOf(cell, byte_strings), message.data(), message.size());
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool ChannelCore::SendAlone(std::string_view message, bool byte_strings) {
  if (message.size() > kMaxOwnersBytes) return false;
  if (byte_strings && message.size() > segment_.geometry.max_message_bytes) return false;
  ChannelSide& side = segment_.header->senders;
  const Caller& caller = Remembered();
  if (!IsAlone(caller, side, caller.sends)) return false;
  const OwnersStep step(side, caller.sends.alone, *caller.sends.busy, caller.life_word, *caller.robust_list);
  if (!step.may_be_taken() || closed()) return false;
  // Relaxed: it is this thread's; and one that is too low leads to a cell that is not empty in that turn.
  const uint64_t position = side.hint.load(std::memory_order_relaxed);
  ChannelCell& cell = segment_.At(position);
  const uint64_t turn = segment_.TurnOf(position);
  // Acquire: pairs with the release of whoever has emptied it.
  if (cell.state.load(std::memory_order_acquire) != PackCell(CellState::kEmpty, turn)) return false;
  PrefetchAfter(cell);
  FillCell(cell, message, byte_strings);
  // Release: pairs with the loads by receivers.
  cell.state.store(PackCell(CellState::kFull, turn), std::memory_order_release);
  Pass(side, segment_.header->receivers, caller.sends, position);
  return true;
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool ChannelCore::ReceiveAlone(Target target, size_t bytes) {
  if (target.bytes == nullptr && bytes > kMaxOwnersBytes) return false;
  ChannelSide& side = segment_.header->receivers;
  const Caller& caller = Remembered();
  if (!IsAlone(caller, side, caller.receives)) return false;
  const OwnersStep step(side, caller.receives.alone, *caller.receives.busy, caller.life_word,
                        *caller.robust_list);
  if (!step.may_be_taken() || closed()) return false;
  // As in SendAlone.
  const uint64_t position = side.hint.load(std::memory_order_relaxed);
  ChannelCell& cell = segment_.At(position);
  const uint64_t turn = segment_.TurnOf(position);
  if (cell.state.load(std::memory_order_acquire) != PackCell(CellState::kFull, turn)) return false;
  PrefetchAfter(cell);
  if (target.bytes != nullptr) {
    bytes = cell.first.load(std::memory_order_relaxed);
    if (bytes > kMaxOwnersBytes || bytes > segment_.geometry.max_message_bytes) return false;
    target.bytes->assign(ChannelSegment::PayloadOf(cell, /*byte_strings=*/true), bytes);
  } else {
    std::memcpy(target.fixed, ChannelSegment::PayloadOf(cell, /*byte_strings=*/false), bytes);
  }
  // Release: pairs with the loads by senders.
  cell.state.store(PackCell(CellState::kEmpty, turn + 1), std::memory_order_release);
  Pass(side, segment_.header->senders, caller.receives, position);
  return true;
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ChannelCore::Pass(ChannelSide& side, ChannelSide& other,
                                                           CallersSide& own, uint64_t position) {
  // Release: pairs with the acquire in Advance, for all cells before it.
  side.hint.store(position + 1, std::memory_order_release);
  // Pairs with the barrier in BlockInside.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (other.bell.word.load(std::memory_order_relaxed) != 0) RingAsOwner(side, other, own, position);
}

}  // namespace ko

#endif  // KO_IPC_CHANNEL_CORE_H_
