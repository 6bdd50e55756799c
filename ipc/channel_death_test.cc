#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_cell.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/channel_test_writer.h"
#include "ko/ipc/test_child.h"
#include "ko/os/robust_list.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Deaths in the states in which they could hurt. A child brings a cell to the state in which a call would have it, and waits
// to be killed.

namespace ko {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::Gate;
using ::ko::testing::IsOk;
using ::ko::testing::IsOkAndHolds;
using ::ko::testing::Rounds;
using ::ko::testing::StatusIs;

using Strings = Channel<std::string>;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

class ChannelDeathTest : public testing::LeakCheckedTest {
 protected:
  static const ChannelSegment& SegmentOf(const ChannelBase& channel) {
    return ChannelTestPeer::Segment(channel);
  }
};

TEST_F(ChannelDeathTest, AMessageThatWasBeingWrittenIsPassedOver) {
  absl::StatusOr<Strings> channel = Strings::Create({.capacity = 4});
  ASSERT_THAT(channel, IsOk());
  Gate ready;
  TestChild writer = DiesWriting(*channel, 1, ready);
  ASSERT_TRUE(ready.Pass());
  ASSERT_THAT(channel->Send("after"), IsOk());
  EXPECT_THAT(channel->Receive(), IsOkAndHolds("before"));
  EXPECT_THAT(channel->TryReceive(), StatusIs(kUnavailable));
  writer.KillAndWait();
  EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("after"));
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(channel->Send("again"), IsOk());
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("again"));
  }
}

TEST_F(ChannelDeathTest, AReceiverThatWaitsForAMessageIsWokenByItsWritersDeath) {
  for (int i = 0; i < Rounds(50); ++i) {
    absl::StatusOr<Strings> channel = Strings::Create({.capacity = 4});
    ASSERT_THAT(channel, IsOk());
    Gate ready;
    TestChild writer = DiesWriting(*channel, 0, ready);
    ASSERT_TRUE(ready.Pass());
    ASSERT_THAT(channel->Send("after"), IsOk());
    TestChild receiver([&] { return channel->Receive().value_or("") == "after" ? 0 : 1; });
    AwaitAsleep(SegmentOf(*channel).header->receivers, receiver.pid());
    writer.KillAndWait();
    ASSERT_EQ(receiver.Wait(), 0);
  }
}

TEST_F(ChannelDeathTest, AStoppedWriterDelaysAndItsDeathFrees) {
  absl::StatusOr<Strings> channel = Strings::Create({.capacity = 4});
  ASSERT_THAT(channel, IsOk());
  Gate ready;
  TestChild writer = DiesWriting(*channel, 0, ready);
  ASSERT_TRUE(ready.Pass());
  ::kill(writer.pid(), SIGSTOP);
  ASSERT_TRUE(AwaitState(writer.pid(), 'T'));
  ASSERT_THAT(channel->Send("after"), IsOk());
  EXPECT_THAT(channel->Receive(absl::Milliseconds(5)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  writer.KillAndWait();
  EXPECT_THAT(channel->Receive(), IsOkAndHolds("after"));
}

TEST_F(ChannelDeathTest, TheSlotOfADeadWriterIsReusedAndItsMessageStaysVoid) {
  absl::StatusOr<Strings> channel = Strings::Create({.capacity = 4, .max_participants = 2});
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send("before"), IsOk());
  for (int i = 0; i < 10; ++i) {
    const uint64_t position = SegmentOf(*channel).header->senders.hint.load();
    Gate ready;
    TestChild writer([&] {
      if (!channel->Send("first").ok()) return 1;
      ChannelTestPeer::Claim(*channel, CellState::kWriting, position + 1);
      ready.Open();
      ::pause();
      return 0;
    });
    ASSERT_TRUE(ready.Pass());
    writer.KillAndWait();
    // In the slot that is free again.
    ASSERT_EQ(TestChild([&] { return channel->Send("second").ok() ? 0 : 1; }).Wait(), 0);
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("before"));
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("first"));
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("second"));
    EXPECT_THAT(channel->TryReceive(), StatusIs(kUnavailable));
    ASSERT_THAT(channel->Send("before"), IsOk());
  }
}

TEST_F(ChannelDeathTest, ADeadWriterLeavesItsRoomToSenders) {
  absl::StatusOr<Strings> channel = Strings::Create({.capacity = 1});
  ASSERT_THAT(channel, IsOk());
  Gate ready;
  TestChild writer = DiesWriting(*channel, 0, ready);
  ASSERT_TRUE(ready.Pass());
  EXPECT_THAT(channel->TrySend("x"), StatusIs(kUnavailable));
  TestChild sender([&] { return channel->Send("x").ok() ? 0 : 1; });
  AwaitAsleep(SegmentOf(*channel).header->senders, sender.pid());
  writer.KillAndWait();
  EXPECT_EQ(sender.Wait(), 0);
  EXPECT_THAT(channel->TryReceive(), IsOkAndHolds("x"));
}

TEST_F(ChannelDeathTest, ADeadReaderLeavesItsRoomToSenders) {
  for (int i = 0; i < Rounds(50); ++i) {
    absl::StatusOr<Strings> channel = Strings::Create({.capacity = 1});
    ASSERT_THAT(channel, IsOk());
    Gate ready;
    TestChild reader([&] {
      if (!channel->Send("long").ok()) return 1;
      ChannelTestPeer::Claim(*channel, CellState::kReading, 0);
      ready.Open();
      ::pause();
      return 0;
    });
    ASSERT_TRUE(ready.Pass());
    EXPECT_THAT(channel->TrySend("x"), StatusIs(kUnavailable));
    EXPECT_THAT(channel->TryReceive(), StatusIs(kUnavailable));
    TestChild receiver([&] { return channel->Receive().value_or("") == "x" ? 0 : 1; });
    TestChild sender([&] { return channel->Send("x").ok() ? 0 : 1; });
    AwaitAsleep(SegmentOf(*channel).header->senders, sender.pid());
    AwaitAsleep(SegmentOf(*channel).header->receivers, receiver.pid());
    reader.KillAndWait();
    ASSERT_EQ(sender.Wait(), 0);
    ASSERT_EQ(receiver.Wait(), 0);
  }
}

TEST_F(ChannelDeathTest, SleepingReceiversThatDieLeaveTheWakeUpToTheOthers) {
  for (int i = 0; i < Rounds(40); ++i) {
    absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
    ASSERT_THAT(channel, IsOk());
    TestChild head([&] { return channel->Receive().value_or(-1); });
    AwaitAsleep(SegmentOf(*channel).header->receivers, head.pid());
    TestChild second([&] { return channel->Receive().value_or(-1); });
    ASSERT_TRUE(AwaitState(second.pid(), 'S'));
    TestChild third([&] { return channel->Receive().value_or(-1); });
    ASSERT_TRUE(AwaitState(third.pid(), 'S'));
    head.Kill();
    if (i % 2 == 0) second.Kill();
    ASSERT_THAT(channel->Send(1), IsOk());
    ASSERT_THAT(channel->Send(2), IsOk());
    ASSERT_THAT(channel->Send(3), IsOk());
    EXPECT_GT(third.Wait(), 0);
  }
}

TEST_F(ChannelDeathTest, SleepingSendersThatDieLeaveTheWakeUpToTheOthers) {
  for (int i = 0; i < Rounds(40); ++i) {
    absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.capacity = 1});
    ASSERT_THAT(channel, IsOk());
    ASSERT_THAT(channel->Send(0), IsOk());
    TestChild head([&] { return channel->Send(1).ok() ? 0 : 1; });
    AwaitAsleep(SegmentOf(*channel).header->senders, head.pid());
    TestChild second([&] { return channel->Send(2).ok() ? 0 : 1; });
    ASSERT_TRUE(AwaitState(second.pid(), 'S'));
    TestChild third([&] { return channel->Send(3).ok() ? 0 : 1; });
    ASSERT_TRUE(AwaitState(third.pid(), 'S'));
    head.Kill();
    if (i % 2 == 0) second.Kill();
    while (channel->Receive().value_or(-1) != 3) {
    }
    EXPECT_EQ(third.Wait(), 0);
  }
}

// What a sender that dies between its step and the wake-up leaves: the step alone, and its announcement to the kernel.
TEST_F(ChannelDeathTest, ASenderThatDiesBeforeItRingsIsStoodInForByTheKernel) {
  for (int i = 0; i < Rounds(50); ++i) {
    absl::StatusOr<Channel<uint64_t>> channel = Channel<uint64_t>::Create();
    ASSERT_THAT(channel, IsOk());
    const ChannelSegment& segment = SegmentOf(*channel);
    TestChild receiver([&] { return static_cast<int>(channel->Receive().value_or(0)); });
    AwaitAsleep(segment.header->receivers, receiver.pid());
    TestChild sender([&] {
      robust_list_head* head;
      if (!os::GetRobustListHead(&head).ok()) return 1;
      os::AnnounceRobust(*head, segment.header->receivers.bell, os::RobustKind::kPlain);
      segment.At(0).first = 9;
      segment.At(0).state = PackCell(CellState::kFull, 0);
      ::kill(::getpid(), SIGKILL);
      return 0;
    });
    ASSERT_EQ(sender.Wait(), -SIGKILL);
    ASSERT_EQ(receiver.Wait(), 9);
  }
}

TEST_F(ChannelDeathTest, ACloserThatDiesBeforeItWakesIsStoodInForByTheKernel) {
  for (int i = 0; i < Rounds(50); ++i) {
    absl::StatusOr<Strings> channel = Strings::Create({.capacity = 1});
    ASSERT_THAT(channel, IsOk());
    const ChannelSegment& segment = SegmentOf(*channel);
    Gate ready;
    // Both sides sleep: the only message is being read.
    TestChild reader([&] {
      if (!channel->Send("long").ok()) return 1;
      ChannelTestPeer::Claim(*channel, CellState::kReading, 0);
      ready.Open();
      ::pause();
      return 0;
    });
    ASSERT_TRUE(ready.Pass());
    TestChild receiver([&] { return static_cast<int>(channel->Receive().status().code()); });
    TestChild sender([&] { return static_cast<int>(channel->Send("x").code()); });
    AwaitAsleep(segment.header->receivers, receiver.pid());
    AwaitAsleep(segment.header->senders, sender.pid());
    TestChild closer([&] {
      robust_list_head* head;
      if (!os::GetRobustListHead(&head).ok()) return 1;
      os::AnnounceRobust(*head, segment.header->closed, os::RobustKind::kPlain);
      segment.header->closed.word = ChannelHeader::kClosed;
      ::kill(::getpid(), SIGKILL);
      return 0;
    });
    ASSERT_EQ(closer.Wait(), -SIGKILL);
    ASSERT_EQ(receiver.Wait(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
    ASSERT_EQ(sender.Wait(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  }
}

}  // namespace
}  // namespace ko
