#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_cell.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/test_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Bytes in shared memory that somebody has overwritten.

namespace ko {
namespace {

using ::ko::testing::IsOk;
using ::ko::testing::Rounds;
using ::ko::testing::StatusIs;

using Strings = Channel<std::string>;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class ChannelDamageTest : public testing::LeakCheckedTest {
 protected:
  static const ChannelSegment& SegmentOf(const ChannelBase& channel) {
    return ChannelTestPeer::Segment(channel);
  }
  static absl::StatusOr<Strings> Make() {
    return Strings::Create({.capacity = 4, .max_message_bytes = 600, .max_participants = 4});
  }
};

TEST_F(ChannelDamageTest, ALengthBeyondTheLimitIsDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send("x"), IsOk());
  for (uint64_t length : {uint64_t{601}, UINT64_MAX, uint64_t{1} << 32}) {
    SegmentOf(*channel).At(0).first = length;
    EXPECT_THAT(channel->TryReceive(), StatusIs(kDataLoss));
  }
}

TEST_F(ChannelDamageTest, AnOwnerThatIsNoSlotIsDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  SegmentOf(*channel).At(0).state = PackCell(CellState::kWriting, 0, 4);
  EXPECT_THAT(channel->TryReceive(), StatusIs(kDataLoss));
}

TEST_F(ChannelDamageTest, AnOwnerOfASideThatIsNoSlotIsDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send("x"), IsOk());
  for (ChannelSide* side : {&SegmentOf(*channel).header->senders, &SegmentOf(*channel).header->receivers}) {
    side->owner = 5;  // of four
  }
  EXPECT_THAT(channel->TrySend("y"), StatusIs(kDataLoss));
  EXPECT_THAT(channel->TryReceive(), StatusIs(kDataLoss));
}

TEST_F(ChannelDamageTest, ATurnThatCannotBeIsDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  for (int i = 0; i < 40; ++i) {
    ASSERT_THAT(channel->Send("x"), IsOk());
    ASSERT_THAT(channel->Receive(), IsOk());
  }
  SegmentOf(*channel).At(40).state = PackCell(CellState::kFull, 3);
  EXPECT_THAT(channel->TryReceive(), StatusIs(kDataLoss));
  EXPECT_THAT(channel->TrySend("x"), StatusIs(kDataLoss));
}

TEST_F(ChannelDamageTest, TurnsThatLeadAroundInACircleAreDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  for (uint64_t cell = 0; cell < 4; ++cell)
    SegmentOf(*channel).At(cell).state = PackCell(CellState::kFull, (cell + 1) * (kTurnMask / 4));
  EXPECT_THAT(channel->TryReceive(), StatusIs(kDataLoss));
  EXPECT_THAT(channel->TrySend("x"), StatusIs(kDataLoss));
}

TEST_F(ChannelDamageTest, ALockThatNobodyHoldsIsDataLoss) {
  absl::StatusOr<Strings> channel = Make();
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send("x"), IsOk());
  SegmentOf(*channel).header->join_lock.word = 0x3ffffffe;  // no thread has such an id
  EXPECT_EQ(TestChild([&] { return channel->Send("x").code() == kDataLoss ? 0 : 1; }).Wait(), 0);
}

// Returns at all, without a fault, and what comes is a message or a status.
TEST_F(ChannelDamageTest, RandomBytesAreAnsweredWithValuesOrStatuses) {
  std::minstd_rand random(4711);
  for (int round = 0; round < Rounds(300); ++round) {
    absl::StatusOr<Strings> channel = Make();
    ASSERT_THAT(channel, IsOk());
    ASSERT_THAT(channel->Send("first"), IsOk());
    ASSERT_THAT(channel->Send(std::string(600, 'x')), IsOk());
    const ChannelSegment& segment = SegmentOf(*channel);
    TestChild child([&] {
      // A participant from the start: the lock for new ones could name a living thread, and would be waited for.
      if (!channel->TrySend("second").ok()) return 3;
      auto* const bytes = reinterpret_cast<std::atomic<uint8_t>*>(segment.header);
      for (int i = 0; i < 60; ++i) {
        // Half of the time where it hurts most: in the state words and what stands before the participants.
        for (int hit = 0; hit < 4; ++hit) {
          const size_t where = random() % 2 == 0 ? random() % segment.geometry.segment_bytes
                               : random() % 2 == 0
                                   ? random() % segment.geometry.participants_offset
                                   : segment.geometry.cells_offset +
                                         random() % 4 * segment.geometry.cell_bytes + random() % 16;
          bytes[where] = static_cast<uint8_t>(random() % 3 == 0 ? 0 : random());
        }
        channel->Send("again", absl::Microseconds(50)).IgnoreError();
        channel->TrySend(std::string(500, 'y')).IgnoreError();
        if (absl::StatusOr<std::string> message = channel->Receive(absl::Microseconds(50));
            message.ok() && message->size() > 600) {
          return 1;
        }
        if (absl::StatusOr<std::string> message = channel->TryReceive();
            message.ok() && message->size() > 600)
          return 1;
        if (channel->size() > 4) return 2;
      }
      channel->Close().IgnoreError();
      return 0;
    });
    random.discard(static_cast<unsigned>(round) + 1);
    ASSERT_EQ(child.Wait(), 0) << round;
  }
}

}  // namespace
}  // namespace ko
