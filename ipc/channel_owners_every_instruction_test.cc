#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_owner_test_peer.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/test_sleeper.h"
#include "ko/os/membarrier.h"
#include "ko/testing/kill_at_every_instruction.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// The steps of an owner of a side, and of those who take the side back, killed before each of their instructions.

namespace ko {
namespace {

using testing::IsOk;
using testing::KillAtEveryInstruction;
using testing::KillPointsStartHere;
using testing::KillReport;
using testing::StatusIs;

constexpr size_t kCapacity = 4;
constexpr uint64_t kNone = ~uint64_t{0};

// Longer than what is sent in one step anyway.
struct Message {
  uint64_t number, again;
};

struct Fixture {
  Channel<Message> channel = *Channel<Message>::Create({.capacity = kCapacity});
  std::optional<TestSleeper> other;

  absl::Status Send(uint64_t number) { return channel.TrySend({number, number}); }
  // kNone also for one that is torn.
  uint64_t Receive() {
    const Message message = channel.TryReceive().value_or(Message{kNone, kNone});
    return message.number == message.again ? message.number : kNone;
  }

  // What a process does once in its life is done, and the other one sleeps.
  void PrepareBesideTheOther() {
    Channel<Message> own = *Channel<Message>::Create({.capacity = kCapacity});
    EXPECT_THAT(own.TrySend({1, 1}), IsOk());
    other->AwaitAsleep();
  }
};

// Falls asleep outside of any call, as the owner of both sides.
bool Pause() {
  ::pause();
  return true;
}

class ChannelOwnersEveryInstructionTest : public testing::LeakCheckedTest {
 protected:
  static constexpr testing::KillOptions kOptions = {.max_points = testing::Rounds(1500)};

  void SetUp() override {
    testing::LeakCheckedTest::SetUp();
    if (!os::AcceptBarriers()) GTEST_SKIP() << "no membarrier(2)";
  }
  static std::unique_ptr<Fixture> MakeEmpty() { return std::make_unique<Fixture>(); }
  static void ExpectProved(const KillReport& report) {
    EXPECT_TRUE(report.completed);
    std::cout << report.ToString() << "\n";
  }
  // Of one that is empty.
  static void ExpectWorks(Fixture& fixture) {
    for (int turn = 0; turn < 3; ++turn) {
      for (uint64_t number = 1; number <= kCapacity; ++number) {
        EXPECT_THAT(fixture.Send(number), IsOk());
      }
      EXPECT_THAT(fixture.Send(9), StatusIs(absl::StatusCode::kUnavailable));
      for (uint64_t number = 1; number <= kCapacity; ++number) EXPECT_EQ(fixture.Receive(), number);
      EXPECT_EQ(fixture.Receive(), kNone);
    }
  }
};

TEST_F(ChannelOwnersEveryInstructionTest, Send) {
  ExpectProved(KillAtEveryInstruction(
      MakeEmpty,
      [](Fixture& fixture) {
        OwnBothSidesSoon(fixture.channel);
        EXPECT_THAT(fixture.Send(1), IsOk());
        KillPointsStartHere();
        EXPECT_THAT(fixture.Send(2), IsOk());
        EXPECT_EQ(OwnerOfSenders(fixture.channel), ::getpid());
      },
      [](Fixture& fixture, const testing::KillPoint& point) {
        EXPECT_EQ(fixture.Receive(), 1u);
        const uint64_t last = fixture.Receive();
        EXPECT_TRUE(last == 2 || (last == kNone && !point.completed)) << last;
        ExpectWorks(fixture);
      },
      kOptions));
}

TEST_F(ChannelOwnersEveryInstructionTest, Receive) {
  ExpectProved(KillAtEveryInstruction(
      MakeEmpty,
      [](Fixture& fixture) {
        OwnBothSidesSoon(fixture.channel);
        for (uint64_t number = 1; number <= 3; ++number) EXPECT_THAT(fixture.Send(number), IsOk());
        KillPointsStartHere();
        EXPECT_EQ(fixture.Receive(), 1u);
        EXPECT_EQ(OwnerOfReceivers(fixture.channel), ::getpid());
      },
      [](Fixture& fixture, const testing::KillPoint& point) {
        uint64_t next = fixture.Receive();
        EXPECT_TRUE(next == 2 || (next == 1 && !point.completed)) << next;
        while (next < 3) EXPECT_EQ(fixture.Receive(), ++next);
        ExpectWorks(fixture);
      },
      kOptions));
}

// The step that leaves it alone there, and two more.
TEST_F(ChannelOwnersEveryInstructionTest, BecomingTheOwner) {
  ExpectProved(KillAtEveryInstruction(
      MakeEmpty,
      [](Fixture& fixture) {
        TakeBothSides(fixture.channel);
        KillPointsStartHere();
        for (uint64_t number = 1; number <= 3; ++number) EXPECT_THAT(fixture.Send(number), IsOk());
        EXPECT_EQ(OwnerOfSenders(fixture.channel), ::getpid());
      },
      [](Fixture& fixture) {
        uint64_t next = 1;
        for (uint64_t number = 0; (number = fixture.Receive()) != kNone; ++next) EXPECT_EQ(number, next);
        EXPECT_LE(next, 4u);
        ExpectWorks(fixture);
      },
      kOptions));
}

TEST_F(ChannelOwnersEveryInstructionTest, SendWakesAReceiver) {
  ExpectProved(KillAtEveryInstruction(
      [] {
        auto fixture = MakeEmpty();
        fixture->other.emplace([&] { return fixture->channel.Receive().ok(); });
        return fixture;
      },
      [](Fixture& fixture) {
        OwnBothSidesSoon(fixture.channel);
        fixture.other->AwaitAsleep();
        KillPointsStartHere();
        EXPECT_THAT(fixture.channel.Send({1, 1}), IsOk());
        // It has woken somebody after a few steps only, so it has given the side back.
        EXPECT_EQ(OwnerOfSenders(fixture.channel), 0);
      },
      [](Fixture& fixture) {
        // A message that is there is one that it wakes for.
        if (ChannelTestPeer::CountFull(fixture.channel) == 0) {
          EXPECT_THAT(fixture.channel.Send({2, 2}), IsOk());
        }
        fixture.other->AwaitEnded();
        fixture.Receive();
        ExpectWorks(fixture);
      },
      kOptions));
}

TEST_F(ChannelOwnersEveryInstructionTest, ReceiveWakesASender) {
  ExpectProved(KillAtEveryInstruction(
      [] {
        auto fixture = MakeEmpty();
        fixture->other.emplace(
            [&] {
              bool all_sent = true;
              for (uint64_t number = 1; number <= kCapacity; ++number) all_sent &= fixture->Send(number).ok();
              return all_sent;
            },
            [&] { return fixture->channel.Send({kCapacity + 1, kCapacity + 1}).ok(); });
        return fixture;
      },
      [](Fixture& fixture) {
        OwnBothSidesSoon(fixture.channel);
        fixture.other->AwaitAsleep();
        KillPointsStartHere();
        EXPECT_EQ(fixture.Receive(), 1u);
      },
      [](Fixture& fixture) {
        uint64_t next = 0;
        // Room that is there is what it wakes for.
        if (ChannelTestPeer::CountFull(fixture.channel) == kCapacity) next = fixture.Receive();
        fixture.other->AwaitEnded();
        if (next == 0) next = fixture.Receive();
        while (next < kCapacity + 1) EXPECT_EQ(fixture.Receive(), ++next);
        ExpectWorks(fixture);
      },
      kOptions));
}

// Of an owner that lives, and is not in a step.
TEST_F(ChannelOwnersEveryInstructionTest, TakingBothSidesBack) {
  ExpectProved(KillAtEveryInstruction(
      [] {
        auto fixture = MakeEmpty();
        fixture->other.emplace(
            [&] {
              OwnBothSidesSoon(fixture->channel);
              return fixture->Send(1).ok();
            },
            Pause);
        return fixture;
      },
      [](Fixture& fixture) {
        fixture.PrepareBesideTheOther();
        KillPointsStartHere();
        EXPECT_THAT(fixture.Send(2), IsOk());
        EXPECT_EQ(fixture.Receive(), 1u);
      },
      [](Fixture& fixture, const testing::KillPoint& point) {
        uint64_t next = fixture.Receive();
        EXPECT_TRUE(next == 2 || (next == 1 && !point.completed)) << next;
        if (next == 1) next = fixture.Receive();
        EXPECT_TRUE(next == 2 || next == kNone) << next;
        ExpectWorks(fixture);
      },
      kOptions));
}

// A taker of the side, which waits for an owner in a step, and goes on when that dies.
TEST_F(ChannelOwnersEveryInstructionTest, WaitingForADyingOwner) {
  ExpectProved(KillAtEveryInstruction(
      [] {
        auto fixture = MakeEmpty();
        fixture->other.emplace(
            [&] {
              OwnBothSidesSoon(fixture->channel);
              BeginSendersStep(fixture->channel);
              return true;
            },
            Pause);
        return fixture;
      },
      [](Fixture& fixture) {
        fixture.PrepareBesideTheOther();
        KillPointsStartHere();
        EXPECT_THAT(fixture.channel.Send({1, 1}), IsOk());
      },
      [](Fixture& fixture) {
        fixture.other->Kill();
        fixture.other->AwaitEnded();
        const uint64_t only = fixture.Receive();
        EXPECT_TRUE(only == 1 || only == kNone) << only;
        ExpectWorks(fixture);
      },
      kOptions, [](Fixture& fixture) { fixture.other->Kill(); }));
}

}  // namespace
}  // namespace ko
