#ifndef KO_IPC_CHANNEL_TEST_PEER_H_
#define KO_IPC_CHANNEL_TEST_PEER_H_

#include <linux/futex.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "ko/ipc/channel.h"
#include "ko/ipc/channel_cell.h"
#include "ko/ipc/channel_core.h"
#include "ko/ipc/channel_segment.h"

namespace ko {

// Lets a test look into the shared memory of a channel without using the channel, and change it.
class ChannelTestPeer {
 public:
  static const ChannelSegment& Segment(const ChannelBase& channel) { return channel.core_->segment(); }

  // How many messages lie there whole; ChannelBase::size() counts what dead senders have left, too.
  static size_t CountFull(const ChannelBase& channel) {
    const ChannelSegment& segment = Segment(channel);
    size_t full = 0;
    for (uint64_t i = 0; i < segment.geometry.capacity; ++i) {
      if (CellStateOf(segment.At(i).state.load()) == CellState::kFull) ++full;
    }
    return full;
  }

  // Of the calling process's thread, which has one.
  static uint32_t OwnSlot(const ChannelBase& channel) {
    const ChannelSegment& segment = Segment(channel);
    const auto id = static_cast<uint32_t>(::getpid());
    uint32_t slot = 0;
    while ((segment.participants[slot].life.word.load() & FUTEX_TID_MASK) != id) ++slot;
    return slot;
  }

  // The calling process's thread, which has one slot, brings the cell of `position` to a state in which it owns it.
  static void Claim(const ChannelBase& channel, CellState state, uint64_t position) {
    const ChannelSegment& segment = Segment(channel);
    const uint32_t slot = OwnSlot(channel);
    segment.participants[slot].position = position;
    segment.At(position).state = PackCell(state, segment.TurnOf(position), slot);
  }
  static void ClaimNextAsSender(const ChannelBase& channel) {
    Claim(channel, CellState::kWriting, Segment(channel).header->senders.hint.load());
  }
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_TEST_PEER_H_
