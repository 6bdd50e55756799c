#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/channel_segment.h"
#include "ko/ipc/channel_test_peer.h"
#include "ko/ipc/test_child.h"
#include "ko/os/futex.h"
#include "ko/os/interrupt.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Sleepers, and what wakes them.

namespace ko {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::IsOk;
using ::ko::testing::IsOkAndHolds;
using ::ko::testing::Rounds;
using ::ko::testing::StatusIs;

class ChannelBlockingTest : public testing::LeakCheckedTest {};

// Until one thread of the side sleeps on the ring.
void AwaitAsleep(const ChannelSide& side) {
  while (true) {
    const auto inside = static_cast<pid_t>(side.turnstile.word.load() & FUTEX_TID_MASK);
    if (inside != 0 && side.bell.word.load() == ChannelSide::kAsleep) {
      const auto state = testing::ReadProcessState(inside);
      if (state.has_value() && state->letter == 'S') return;
    }
    ::sched_yield();
  }
}

const ChannelHeader& HeaderOf(const ChannelBase& channel) {
  return *ChannelTestPeer::Segment(channel).header;
}

TEST_F(ChannelBlockingTest, ASleepingReceiverIsWokenByAMessage) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  for (int i = 0; i < Rounds(100); ++i) {
    TestChild receiver([&] { return channel->Receive().value_or(-1); });
    AwaitAsleep(HeaderOf(*channel).receivers);
    ASSERT_THAT(channel->Send(42), IsOk());
    ASSERT_EQ(receiver.Wait(), 42);
  }
}

TEST_F(ChannelBlockingTest, ASleepingSenderIsWokenByRoom) {
  absl::StatusOr<Channel<std::string>> channel = Channel<std::string>::Create({.capacity = 1});
  ASSERT_THAT(channel, IsOk());
  for (int i = 0; i < Rounds(100); ++i) {
    ASSERT_THAT(channel->Send("first"), IsOk());
    TestChild sender([&] { return channel->Send(std::string(3000, 'x')).ok() ? 0 : 1; });
    AwaitAsleep(HeaderOf(*channel).senders);
    ASSERT_THAT(channel->Receive(), IsOkAndHolds("first"));
    ASSERT_EQ(sender.Wait(), 0);
    ASSERT_THAT(channel->Receive(), IsOkAndHolds(std::string(3000, 'x')));
  }
}

TEST_F(ChannelBlockingTest, ManySleepingReceiversGetAMessageEach) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  constexpr int kReceivers = 8;
  std::vector<TestChild> receivers;
  for (int i = 0; i < kReceivers; ++i)
    receivers.emplace_back([&] { return channel->Receive().value_or(-1); });
  for (TestChild& receiver : receivers) ASSERT_TRUE(AwaitState(receiver.pid(), 'S'));
  for (int i = 0; i < kReceivers; ++i) ASSERT_THAT(channel->Send(7), IsOk());
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), 7);
}

TEST_F(ChannelBlockingTest, CloseWakesAllReceivers) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  std::vector<TestChild> receivers;
  for (int i = 0; i < 8; ++i)
    receivers.emplace_back([&] { return static_cast<int>(channel->Receive().status().code()); });
  for (TestChild& receiver : receivers) ASSERT_TRUE(AwaitState(receiver.pid(), 'S'));
  ASSERT_THAT(channel->Close(), IsOk());
  for (TestChild& receiver : receivers)
    EXPECT_EQ(receiver.Wait(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ChannelBlockingTest, CloseWakesAllSenders) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.capacity = 1});
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send(1), IsOk());
  std::vector<TestChild> senders;
  for (int i = 0; i < 8; ++i) senders.emplace_back([&] { return static_cast<int>(channel->Send(2).code()); });
  for (TestChild& sender : senders) ASSERT_TRUE(AwaitState(sender.pid(), 'S'));
  ASSERT_THAT(channel->Close(), IsOk());
  for (TestChild& sender : senders)
    EXPECT_EQ(sender.Wait(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(channel->Receive(), IsOkAndHolds(1));
  EXPECT_THAT(channel->Receive(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ChannelBlockingTest, AReceiversTimeIsOver) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  TestChild first([&] { return channel->Receive().value_or(-1); });
  AwaitAsleep(HeaderOf(*channel).receivers);
  // In front of the turnstile.
  EXPECT_THAT(channel->Receive(absl::Milliseconds(5)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_THAT(channel->Send(3), IsOk());
  EXPECT_EQ(first.Wait(), 3);
  EXPECT_THAT(channel->Receive(absl::Milliseconds(5)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

constinit std::atomic<uint32_t> interrupt_word = 0;

TEST_F(ChannelBlockingTest, AnInterruptThatFiredBeforeIsSeen) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  interrupt_word = 1;
  const Interrupt interrupt = {.word = &interrupt_word, .expected = 0};
  EXPECT_THAT(channel->Send(1, absl::InfiniteDuration(), interrupt), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(channel->Receive(absl::InfiniteDuration(), interrupt), StatusIs(absl::StatusCode::kCancelled));
  interrupt_word = 0;
}

#if !defined(__SANITIZE_THREAD__)
// The thread sanitizer runs handlers only in calls that it knows to block, and futex_waitv is none of them.
TEST_F(ChannelBlockingTest, ASignalsInterruptEndsTheSleepAndOtherSignalsDoNot) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.capacity = 1});
  ASSERT_THAT(channel, IsOk());
  const auto sleeps = [&](auto call) {
    return TestChild([&] {
      ::signal(SIGUSR1, [](int) {});
      ::signal(SIGUSR2, [](int) { interrupt_word = 1; });
      return static_cast<int>(call(Interrupt{.word = &interrupt_word, .expected = 0}));
    });
  };
  TestChild receiver = sleeps([&](Interrupt interrupt) {
    return channel->Receive(absl::InfiniteDuration(), interrupt).status().code();
  });
  AwaitAsleep(HeaderOf(*channel).receivers);
  ::kill(receiver.pid(), SIGUSR1);
  AwaitAsleep(HeaderOf(*channel).receivers);
  ::kill(receiver.pid(), SIGUSR2);
  EXPECT_EQ(receiver.Wait(), static_cast<int>(absl::StatusCode::kCancelled));

  ASSERT_THAT(channel->Send(1), IsOk());
  TestChild sender = sleeps(
      [&](Interrupt interrupt) { return channel->Send(2, absl::InfiniteDuration(), interrupt).code(); });
  AwaitAsleep(HeaderOf(*channel).senders);
  ::kill(sender.pid(), SIGUSR2);
  EXPECT_EQ(sender.Wait(), static_cast<int>(absl::StatusCode::kCancelled));
}
#endif

bool IsReadable(int fd) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

TEST_F(ChannelBlockingTest, APollFdIsReadableWhileThereIsAMessageOrTheEnd) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.pollable = true});
  ASSERT_THAT(channel, IsOk());
  absl::StatusOr<int> fd = channel->poll_fd();
  ASSERT_THAT(fd, IsOk());
  EXPECT_FALSE(IsReadable(*fd));
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(channel->Send(1), IsOk());
    ASSERT_THAT(channel->Send(2), IsOk());
    EXPECT_TRUE(IsReadable(*fd));
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds(1));
    EXPECT_TRUE(IsReadable(*fd));
    EXPECT_THAT(channel->TryReceive(), IsOkAndHolds(2));
    EXPECT_THAT(channel->TryReceive(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_FALSE(IsReadable(*fd));
  }
  ASSERT_THAT(channel->Close(), IsOk());
  EXPECT_TRUE(IsReadable(*fd));
  EXPECT_THAT(channel->TryReceive(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(IsReadable(*fd));
}

TEST_F(ChannelBlockingTest, OneThatIsNotPollableHasNoFd) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  EXPECT_THAT(channel->poll_fd(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ChannelBlockingTest, ProcessesThatPollReceiveEverything) {
  absl::StatusOr<Channel<uint64_t>> channel = Channel<uint64_t>::Create({.capacity = 4, .pollable = true});
  ASSERT_THAT(channel, IsOk());
  absl::StatusOr<Channel<uint64_t>> sums = Channel<uint64_t>::Create();
  ASSERT_THAT(sums, IsOk());
  std::vector<TestChild> receivers;
  for (int i = 0; i < 3; ++i) {
    receivers.emplace_back([&] {
      uint64_t sum = 0;
      while (true) {
        absl::StatusOr<uint64_t> number = channel->TryReceive();
        if (number.ok()) {
          sum += *number;
        } else if (absl::IsFailedPrecondition(number.status())) {
          return sums->Send(sum).ok() ? 0 : 1;
        } else {
          pollfd entry = {.fd = *channel->poll_fd(), .events = POLLIN, .revents = 0};
          if (::poll(&entry, 1, -1) != 1) return 2;
        }
      }
    });
  }
  constexpr uint64_t kMessages = 3000;
  std::vector<TestChild> senders;
  for (int i = 0; i < 2; ++i) {
    senders.emplace_back([&] {
      for (uint64_t number = 1; number <= kMessages; ++number) {
        if (!channel->Send(number).ok()) return 1;
        if (number % 16 == 0) ::sched_yield();  // so that they are often empty
      }
      return 0;
    });
  }
  for (TestChild& sender : senders) EXPECT_EQ(sender.Wait(), 0);
  ASSERT_THAT(channel->Close(), IsOk());
  uint64_t sum = 0;
  for (TestChild& receiver : receivers) {
    EXPECT_EQ(receiver.Wait(), 0);
    sum += sums->TryReceive().value_or(0);
  }
  EXPECT_EQ(sum, kMessages * (kMessages + 1));
}

TEST_F(ChannelBlockingTest, NoWakeUpIsLostBetweenTwoThatWaitForEachOther) {
  absl::StatusOr<Channel<int>> to = Channel<int>::Create({.capacity = 1});
  absl::StatusOr<Channel<int>> from = Channel<int>::Create({.capacity = 1});
  ASSERT_THAT(to, IsOk());
  ASSERT_THAT(from, IsOk());
  TestChild echo([&] {
    while (true) {
      absl::StatusOr<int> message = to->Receive();
      if (!message.ok()) return 0;
      if (!from->Send(*message).ok()) return 1;
    }
  });
  for (int i = 0; i < Rounds(20'000); ++i) {
    ASSERT_THAT(to->Send(i), IsOk());
    ASSERT_THAT(from->Receive(), IsOkAndHolds(i));
  }
  ASSERT_THAT(to->Close(), IsOk());
  EXPECT_EQ(echo.Wait(), 0);
}

}  // namespace
}  // namespace ko
