#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_owner_test_peer.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/channel_test_writer.h"
#include "ko/ipc/ownership_habit.h"
#include "ko/ipc/test_child.h"
#include "ko/os/membarrier.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// A side of a channel that belongs to one thread, and those who come and want it.

namespace ko {
namespace {

using ::ko::testing::Gate;
using ::ko::testing::IsOk;
using ::ko::testing::IsOkAndHolds;
using ::ko::testing::Rounds;
using ::ko::testing::StatusIs;

using Numbers = Channel<uint64_t>;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

class ChannelOwnersTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    testing::LeakCheckedTest::SetUp();
    if (!os::AcceptBarriers()) GTEST_SKIP() << "no membarrier(2)";
  }

  // A child that owns both sides, with `left` messages in the channel, and is in a step of the senders'.
  static TestChild OwnerInAStep(Numbers& channel, uint64_t left, Gate& ready) {
    return TestChild([&] {
      OwnBothSides(channel);
      for (uint64_t number = 0; number < left; ++number) {
        if (!channel.TrySend(number).ok()) return 1;
      }
      BeginSendersStep(channel);
      ready.Open();
      ::pause();
      return 0;
    });
  }
};

TEST_F(ChannelOwnersTest, WhoSendsAndReceivesForLongOwnsBothSides) {
  Numbers channel = *Numbers::Create({.capacity = 8});
  EXPECT_EQ(OwnerOfSenders(channel), 0);
  OwnBothSides(channel);
  EXPECT_EQ(OwnerOfSenders(channel), ::getpid());
  EXPECT_EQ(OwnerOfReceivers(channel), ::getpid());
  for (int round = 0; round < 3; ++round) {
    for (uint64_t number = 0; number < 8; ++number) ASSERT_THAT(channel.TrySend(number), IsOk());
    EXPECT_THAT(channel.TrySend(8), StatusIs(kUnavailable));
    for (uint64_t number = 0; number < 8; ++number) ASSERT_THAT(channel.TryReceive(), IsOkAndHolds(number));
    EXPECT_THAT(channel.TryReceive(), StatusIs(kUnavailable));
  }
  EXPECT_EQ(OwnerOfSenders(channel), ::getpid());
  EXPECT_EQ(OwnerOfReceivers(channel), ::getpid());
}

TEST_F(ChannelOwnersTest, StringsOfAllLengthsGoThroughAnOwner) {
  Channel<std::string> channel = *Channel<std::string>::Create({.capacity = 4, .max_message_bytes = 9000});
  for (size_t round = 0; round < 3 * OwnershipHabit::kFewestSteps; ++round) {
    const std::string message(round * 7 % 9000, static_cast<char>('a' + round % 26));
    ASSERT_THAT(channel.TrySend(message), IsOk());
    ASSERT_THAT(channel.TryReceive(), IsOkAndHolds(message));
  }
  EXPECT_EQ(OwnerOfSenders(channel), ::getpid());
  EXPECT_EQ(OwnerOfReceivers(channel), ::getpid());
}

TEST_F(ChannelOwnersTest, APollableChannelHasNoOwners) {
  Numbers channel = *Numbers::Create({.capacity = 8, .pollable = true});
  OwnBothSides(channel);
  EXPECT_EQ(OwnerOfSenders(channel), 0);
  EXPECT_EQ(OwnerOfReceivers(channel), 0);
}

TEST_F(ChannelOwnersTest, WhoeverComesTakesASideBack) {
  Numbers channel = *Numbers::Create({.capacity = 8});
  OwnBothSides(channel);
  ASSERT_THAT(channel.TrySend(1), IsOk());
  TestChild other([&] {
    if (!channel.TrySend(2).ok()) return 1;
    return channel.TryReceive().value_or(0) == 1 ? 0 : 2;
  });
  EXPECT_EQ(other.Wait(), 0);
  EXPECT_EQ(OwnerOfSenders(channel), 0);
  EXPECT_EQ(OwnerOfReceivers(channel), 0);
  ASSERT_THAT(channel.TrySend(3), IsOk());
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(2u));
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(3u));
}

TEST_F(ChannelOwnersTest, AThreadThatLeavesLeavesItsSides) {
  Numbers channel = *Numbers::Create({.capacity = 8});
  TestChild owner([&] {
    OwnBothSides(channel);
    return channel.TrySend(7).ok() ? 0 : 1;
  });
  EXPECT_EQ(owner.Wait(), 0);
  EXPECT_THAT(channel.TrySend(8), IsOk());
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(7u));
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(8u));
}

TEST_F(ChannelOwnersTest, AnOwnerThatIsStoppedInAStepIsWaitedForForSoLong) {
  Numbers channel = *Numbers::Create({.capacity = 8});
  Gate ready;
  TestChild owner = OwnerInAStep(channel, 1, ready);
  ASSERT_TRUE(ready.Pass());
  EXPECT_THAT(channel.TrySend(1), StatusIs(kUnavailable));
  EXPECT_THAT(channel.Send(1, absl::Milliseconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  std::atomic<uint32_t> word = 0;
  const Interrupt interrupt = {&word, 1};
  EXPECT_THAT(channel.Send(1, absl::InfiniteDuration(), interrupt), StatusIs(absl::StatusCode::kCancelled));
  // The other side is nobody's business.
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(0u));
  owner.KillAndWait();
  EXPECT_THAT(channel.TrySend(2), IsOk());
  EXPECT_THAT(channel.TryReceive(), IsOkAndHolds(2u));
}

TEST_F(ChannelOwnersTest, AnOwnersDeathFreesAllWhoWait) {
  for (int round = 0; round < Rounds(50); ++round) {
    Numbers channel = *Numbers::Create({.capacity = 8});
    Gate ready;
    TestChild owner = OwnerInAStep(channel, 0, ready);
    ASSERT_TRUE(ready.Pass());
    std::vector<TestChild> waiting;
    for (uint64_t number = 1; number <= 3; ++number) {
      waiting.push_back(TestChild([&] { return channel.Send(number).ok() ? 0 : 1; }));
      testing::AwaitState(waiting.back().pid(), 'S');
    }
    owner.Kill();
    const bool first_dies = round % 2 == 1;  // it may be the one that the kernel has woken
    if (first_dies) waiting[0].KillAndWait();
    for (size_t i = first_dies ? 1 : 0; i < waiting.size(); ++i) ASSERT_EQ(waiting[i].Wait(), 0);
    owner.Wait();
    uint64_t sum = 0;
    for (absl::StatusOr<uint64_t> number; (number = channel.TryReceive()).ok();) sum += *number;
    EXPECT_TRUE(sum == 6 || (sum == 5 && first_dies)) << sum;
  }
}

// It sleeps on what an owner, who names another word to the kernel, may have been about to do.
TEST_F(ChannelOwnersTest, ASleeperIsWokenByAnOwnersDeath) {
  for (int round = 0; round < Rounds(50); ++round) {
    Numbers channel = *Numbers::Create({.capacity = 8});
    Gate ready;
    TestChild owner = OwnerInAStep(channel, 0, ready);
    ASSERT_TRUE(ready.Pass());
    TestChild receiver([&] { return channel.Receive().value_or(0) == 5 ? 0 : 1; });
    AwaitAsleep(ChannelTestPeer::Segment(channel).header->receivers, receiver.pid());
    owner.KillAndWait();
    ASSERT_THAT(channel.Send(5), IsOk());
    ASSERT_EQ(receiver.Wait(), 0);
  }
}

// Senders that come and go while two own their sides: nothing is lost, doubled, or out of order.
TEST_F(ChannelOwnersTest, GuestsAreServedBesideAStream) {
  constexpr uint64_t kStream = 200'000;
  constexpr uint64_t kGuest = uint64_t{1} << 32;
  constexpr uint64_t kGuests = 20;
  for (int round = 0; round < Rounds(20); ++round) {
    Numbers channel = *Numbers::Create({.capacity = 64});
    TestChild stream([&] {
      for (uint64_t number = 0; number < kStream; ++number) {
        if (!channel.Send(number).ok()) return 1;
      }
      return 0;
    });
    Gate next_guest_may_go;
    TestChild guest([&] {
      for (uint64_t number = 0; number < kGuests; ++number) {
        if (!next_guest_may_go.Pass() || !channel.Send(kGuest + number).ok()) return 1;
      }
      return 0;
    });
    uint64_t next = 0;
    uint64_t next_guest = kGuest;
    while (next < kStream || next_guest < kGuest + kGuests) {
      const absl::StatusOr<uint64_t> number = channel.Receive();
      ASSERT_THAT(number, IsOk());
      uint64_t& expected = *number < kGuest ? next : next_guest;
      ASSERT_EQ(*number, expected);
      ++expected;
      if (*number < kGuest && next % (kStream / kGuests) == 0) next_guest_may_go.Open();
    }
    EXPECT_EQ(stream.Wait(), 0);
    EXPECT_EQ(guest.Wait(), 0);
  }
}

TEST_F(ChannelOwnersTest, WhatWasSentBeforeCloseIsReceived) {
  for (int round = 0; round < Rounds(200); ++round) {
    Numbers channel = *Numbers::Create({.capacity = 64});
    os::SharedMapping memory = *os::SharedMapping::Create(sizeof(std::atomic<uint64_t>));
    auto& sent = *static_cast<std::atomic<uint64_t>*>(memory.data());
    TestChild sender([&] {
      uint64_t number = 0;
      absl::Status status;
      while ((status = channel.Send(number)).ok()) ++number;
      sent = number;
      return absl::IsFailedPrecondition(status) ? 0 : 1;
    });
    TestChild closer([&] {
      for (volatile int spin = 0; spin < 20'000 + 1000 * round; spin = spin + 1) {
      }
      return channel.Close().ok() ? 0 : 1;
    });
    uint64_t received = 0;
    absl::StatusOr<uint64_t> number;
    while ((number = channel.Receive()).ok()) ASSERT_EQ(*number, received++);
    EXPECT_THAT(number, StatusIs(absl::StatusCode::kFailedPrecondition));
    ASSERT_EQ(sender.Wait(), 0);
    ASSERT_EQ(closer.Wait(), 0);
    ASSERT_EQ(sent, received);
  }
}

}  // namespace
}  // namespace ko
