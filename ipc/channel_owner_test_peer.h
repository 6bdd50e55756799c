#ifndef KO_IPC_CHANNEL_OWNER_TEST_PEER_H_
#define KO_IPC_CHANNEL_OWNER_TEST_PEER_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

#include "ko/ipc/channel.h"
#include "ko/ipc/channel_owners.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/ownership_habit.h"
#include "ko/os/robust_list.h"
#include "ko/testing/status_matchers.h"

namespace ko {

// Both sides of an empty channel become the calling thread's, as they do where it sends and receives for long enough.
inline void OwnBothSides(Channel<uint64_t>& channel) {
  for (uint64_t step = 0; step < OwnershipHabit::kFewestSteps + 2; ++step) {
    ASSERT_THAT(channel.TrySend(step), testing::IsOk());
    ASSERT_THAT(channel.TryReceive(), testing::IsOkAndHolds(step));
  }
}

// Likewise, of a channel whose messages are longer than a pair's: the calling thread has taken both sides, and will be alone
// after the next step of each.
template <class Message>
void TakeBothSides(Channel<Message>& channel) {
  ASSERT_THAT(channel.TrySend({}), testing::IsOk());
  ASSERT_THAT(channel.TryReceive(), testing::IsOk());
  const ChannelSegment& segment = ChannelTestPeer::Segment(channel);
  const uint64_t taken = ChannelOwners::TakenBy(ChannelTestPeer::OwnSlot(channel), 1);
  segment.header->senders.owner = taken;
  segment.header->receivers.owner = taken;
}
template <class Message>
void OwnBothSidesSoon(Channel<Message>& channel) {
  TakeBothSides(channel);
  ASSERT_THAT(channel.TrySend({}), testing::IsOk());
  ASSERT_THAT(channel.TryReceive(), testing::IsOk());
}

// The thread of which process owns a side; 0 where nobody does.
inline pid_t OwnerOf(const ChannelBase& channel, const ChannelSide& side) {
  const uint64_t owner = side.owner.load();
  if (ChannelOwners::IsNobodys(owner)) return 0;
  const ChannelSegment& segment = ChannelTestPeer::Segment(channel);
  const uint32_t life = segment.participants[ChannelOwners::SlotOf(owner)].life.word.load();
  return static_cast<pid_t>(life & FUTEX_TID_MASK);
}
inline pid_t OwnerOfSenders(const ChannelBase& channel) {
  return OwnerOf(channel, ChannelTestPeer::Segment(channel).header->senders);
}
inline pid_t OwnerOfReceivers(const ChannelBase& channel) {
  return OwnerOf(channel, ChannelTestPeer::Segment(channel).header->receivers);
}

// The calling thread, which owns the senders' side, comes into the state of being in a step.
inline void BeginSendersStep(const ChannelBase& channel) {
  const ChannelSegment& segment = ChannelTestPeer::Segment(channel);
  const uint32_t slot = ChannelOwners::SlotOf(segment.header->senders.owner.load());
  os::RobustFutex& busy = segment.participants[slot].sends;
  robust_list_head* list = nullptr;
  ASSERT_THAT(os::GetRobustListHead(&list), testing::IsOk());
  os::AnnounceRobust(*list, busy, os::RobustKind::kPlain);
  busy.word = static_cast<uint32_t>(::getpid());
}

}  // namespace ko

#endif  // KO_IPC_CHANNEL_OWNER_TEST_PEER_H_
