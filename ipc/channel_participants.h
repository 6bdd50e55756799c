#ifndef KO_IPC_CHANNEL_PARTICIPANTS_H_
#define KO_IPC_CHANNEL_PARTICIPANTS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/ipc/channel_segment.h"
#include "ko/os/futex.h"

namespace ko {

// The threads that claim cells of a channel. Each has a slot with a robust futex, which the kernel marks when the thread
// ends, so that anybody can tell whether the owner of a cell still lives.
//
// Threads: any.
// Fork: a child is a participant of its own.
// Signals: none.
// Crash: a dead one's slot is given to a newcomer when the one cell that it may have claimed has been freed.
// Errors: see Join.
class ChannelParticipants {
 public:
  explicit ChannelParticipants(const ChannelSegment& segment) : segment_(segment) {}

  // The slot of the calling thread, a new one where it has none. Errors: ResourceExhausted where all are taken; those of
  // HoldRobustFutex and AcquireRobustLock; DataLoss where the thread's slot has been overwritten.
  absl::StatusOr<uint32_t> Join(std::shared_ptr<const void> memory) const;
  // Gives the calling thread's slot back, if it has one.
  void Leave() const;

  bool IsSlot(uint32_t owner) const { return owner < segment_.geometry.participants; }
  // Whether the thread that has claimed a cell has ended. `owner` was read from the cell before, by an acquire load.
  bool IsDead(uint32_t owner) const;
  // Adds the owner's futex for the first waiting sender or receiver, so that it is woken when the owner ends. False where it
  // has ended.
  bool Watch(uint32_t owner, bool for_senders, os::FutexWaitList& waits) const;

 private:
  absl::StatusOr<uint32_t> JoinLocked(std::shared_ptr<const void> memory) const;
  void FreeCellOf(uint32_t dead) const;

  const ChannelSegment& segment_;
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_PARTICIPANTS_H_
