#ifndef KO_IPC_CHANNEL_CORE_H_
#define KO_IPC_CHANNEL_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/batch_habit.h"
#include "ko/ipc/channel_options.h"
#include "ko/ipc/channel_owners.h"
#include "ko/ipc/channel_participants.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/ownership_habit.h"
#include "ko/os/deadline.h"
#include "ko/os/event_fd.h"
#include "ko/os/interrupt.h"
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

 private:
  struct CallersSide {
    OwnershipHabit habit;
    BatchHabit batch;
    uint64_t alone = ChannelOwners::kNever;  // the owner word while the side is this thread's alone
  };
  // What a thread needs for each operation, found once.
  struct Caller {
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

  // Null, with a status, where the thread cannot use the channel.
  const Caller* FindCaller(bool needs_slot, absl::Status& status);
  const Caller* FindCallerSlowly(Caller& cached, bool needs_slot, absl::Status& status);

  // As the owner of the side. False where the thread is not, or where there is anything else to do first.
  bool SendAlone(const Caller& caller, std::string_view message);
  bool ReceiveAlone(const Caller& caller, Target target);
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
  void FillCell(ChannelCell& cell, std::string_view message) const;
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
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_CORE_H_
