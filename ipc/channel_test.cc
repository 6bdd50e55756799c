#include "ko/ipc/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/ipc/test_child.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::ko::testing::IsOk;
using ::ko::testing::IsOkAndHolds;
using ::ko::testing::StatusIs;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

class ChannelTest : public testing::LeakCheckedTest {};

struct Sample {
  uint64_t number;
  char text[57];
  bool operator==(const Sample& other) const {
    return number == other.number && std::string_view(text) == other.text;
  }
};

TEST_F(ChannelTest, AMessageIsReceivedAsItWasSent) {
  absl::StatusOr<Channel<Sample>> channel = Channel<Sample>::Create();
  ASSERT_THAT(channel, IsOk());
  const Sample sample = {.number = 7, .text = "seven"};
  ASSERT_THAT(channel->Send(sample), IsOk());
  absl::StatusOr<Sample> received = channel->Receive();
  ASSERT_THAT(received, IsOk());
  EXPECT_TRUE(*received == sample);
}

template <class T>
class ChannelSizeTest : public ChannelTest {};
template <size_t kBytes>
struct Bytes {
  unsigned char bytes[kBytes];
};
using Sizes = ::testing::Types<Bytes<1>, Bytes<3>, Bytes<7>, Bytes<8>, Bytes<9>, Bytes<16>, Bytes<63>,
                               Bytes<256>, Bytes<257>, Bytes<100'001>>;
TYPED_TEST_SUITE(ChannelSizeTest, Sizes);

TYPED_TEST(ChannelSizeTest, EachByteArrivesForManyTurns) {
  absl::StatusOr<Channel<TypeParam>> channel = Channel<TypeParam>::Create({.capacity = 4});
  ASSERT_THAT(channel, IsOk());
  for (unsigned round = 0; round < 50; ++round) {
    TypeParam sent;
    for (size_t i = 0; i < sizeof sent; ++i) sent.bytes[i] = static_cast<unsigned char>(round * 31 + i * 7);
    ASSERT_THAT(channel->Send(sent), IsOk());
    absl::StatusOr<TypeParam> received = channel->Receive();
    ASSERT_THAT(received, IsOk());
    EXPECT_EQ(std::string_view(reinterpret_cast<char*>(received->bytes), sizeof sent),
              std::string_view(reinterpret_cast<char*>(sent.bytes), sizeof sent));
  }
}

TEST_F(ChannelTest, StringsOfAllLengthsUpToTheLimitArrive) {
  absl::StatusOr<Channel<std::string>> channel =
      Channel<std::string>::Create({.capacity = 2, .max_message_bytes = 1000});
  ASSERT_THAT(channel, IsOk());
  for (size_t bytes : {0, 1, 7, 8, 9, 15, 16, 255, 256, 257, 999, 1000}) {
    std::string message(bytes, 'x');
    for (size_t i = 0; i < bytes; ++i) message[i] = static_cast<char>(i * 11);
    ASSERT_THAT(channel->Send(message), IsOk());
    EXPECT_THAT(channel->Receive(), IsOkAndHolds(message));
  }
}

TEST_F(ChannelTest, AStringBeyondTheLimitIsRefused) {
  absl::StatusOr<Channel<std::string>> channel = Channel<std::string>::Create({.max_message_bytes = 10});
  ASSERT_THAT(channel, IsOk());
  EXPECT_THAT(channel->Send(std::string(11, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(channel->TrySend(std::string(11, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(channel->size(), 0u);
}

TEST_F(ChannelTest, OnlyEmptyStringsFitWhereTheLimitIsZero) {
  absl::StatusOr<Channel<std::string>> channel =
      Channel<std::string>::Create({.capacity = 1, .max_message_bytes = 0});
  ASSERT_THAT(channel, IsOk());
  EXPECT_THAT(channel->Send(""), IsOk());
  EXPECT_THAT(channel->Receive(), IsOkAndHolds(""));
  EXPECT_THAT(channel->Send("x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ChannelTest, ItHoldsItsCapacityAndNotMore) {
  for (size_t capacity : {1, 2, 64}) {
    absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.capacity = capacity});
    ASSERT_THAT(channel, IsOk());
    ASSERT_EQ(channel->capacity(), capacity);
    for (int turn = 0; turn < 3; ++turn) {
      for (size_t i = 0; i < capacity; ++i) ASSERT_THAT(channel->TrySend(static_cast<int>(i)), IsOk());
      EXPECT_EQ(channel->size(), capacity);
      EXPECT_THAT(channel->TrySend(-1), StatusIs(kUnavailable));
      EXPECT_THAT(channel->Send(-1, absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
      EXPECT_THAT(channel->Send(-1, absl::Milliseconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
      for (size_t i = 0; i < capacity; ++i)
        EXPECT_THAT(channel->TryReceive(), IsOkAndHolds(static_cast<int>(i)));
      EXPECT_EQ(channel->size(), 0u);
      EXPECT_THAT(channel->TryReceive(), StatusIs(kUnavailable));
      EXPECT_THAT(channel->Receive(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
      EXPECT_THAT(channel->Receive(absl::Milliseconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
    }
  }
}

TEST_F(ChannelTest, ACapacityIsRoundedUp) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.capacity = 1000});
  ASSERT_THAT(channel, IsOk());
  EXPECT_EQ(channel->capacity(), 1024u);
}

TEST_F(ChannelTest, SizesWithoutReasonAreRefused) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Channel<int>::Create({.capacity = 0}), StatusIs(kInvalid));
  EXPECT_THAT(Channel<int>::Create({.capacity = SIZE_MAX}), StatusIs(kInvalid));
  EXPECT_THAT(Channel<int>::Create({.max_participants = 0}), StatusIs(kInvalid));
  EXPECT_THAT(Channel<int>::Create({.max_participants = 1 << 30}), StatusIs(kInvalid));
  EXPECT_THAT(Channel<std::string>::Create({.max_message_bytes = SIZE_MAX}), StatusIs(kInvalid));
  EXPECT_THAT(
      Channel<std::string>::Create({.capacity = size_t{1} << 30, .max_message_bytes = size_t{1} << 29}),
      StatusIs(kInvalid));
}

TEST_F(ChannelTest, AClosedOneGivesWhatIsLeftAndThenTheEnd) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  ASSERT_THAT(channel->Send(1), IsOk());
  ASSERT_THAT(channel->Send(2), IsOk());
  EXPECT_FALSE(channel->closed());
  ASSERT_THAT(channel->Close(), IsOk());
  ASSERT_THAT(channel->Close(), IsOk());
  EXPECT_TRUE(channel->closed());
  EXPECT_THAT(channel->Send(3), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->TrySend(3), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->Receive(), IsOkAndHolds(1));
  EXPECT_THAT(channel->TryReceive(), IsOkAndHolds(2));
  EXPECT_THAT(channel->TryReceive(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->Receive(), StatusIs(kFailedPrecondition));
}

TEST_F(ChannelTest, OneThatWasMovedFromRefuses) {
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create();
  ASSERT_THAT(channel, IsOk());
  Channel<int> other = *std::move(channel);
  EXPECT_THAT(channel->Send(1), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->TrySend(1), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->Receive(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->TryReceive(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->Close(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(channel->poll_fd(), StatusIs(kFailedPrecondition));
  EXPECT_EQ(channel->size() + channel->capacity(), 0u);
  EXPECT_FALSE(channel->closed());
  EXPECT_THAT(other.Send(1), IsOk());
  EXPECT_THAT(other.Receive(), IsOkAndHolds(1));
}

TEST_F(ChannelTest, MoreThreadsThanParticipantsAreRefusedUntilOneEnds) {
  absl::StatusOr<Channel<std::string>> channel = Channel<std::string>::Create({.max_participants = 1});
  ASSERT_THAT(channel, IsOk());
  for (int i = 0; i < 3; ++i) {
    std::thread([&] { EXPECT_THAT(channel->Send("from a thread"), IsOk()); }).join();
  }
  ASSERT_THAT(channel->Send("mine"), IsOk());
  EXPECT_EQ(TestChild([&] {
              return channel->Send("x").code() == absl::StatusCode::kResourceExhausted ? 0 : 1;
            }).Wait(),
            0);
  EXPECT_EQ(channel->size(), 4u);
}

TEST_F(ChannelTest, ANamedOneIsOpenedByAnother) {
  const std::string name = absl::StrCat("channel-test-", ::getpid());
  absl::StatusOr<Channel<int>> channel = Channel<int>::Create({.name = name});
  ASSERT_THAT(channel, IsOk());
  EXPECT_THAT(Channel<int>::Create({.name = name}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Channel<std::string>::Open(name), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Channel<double>::Open(name), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Channel<int>::Create({.pollable = true, .name = name + "p"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  absl::StatusOr<Channel<int>> other = Channel<int>::Open(name);
  ASSERT_THAT(other, IsOk());
  EXPECT_THAT(Channel<int>::Unlink(name), IsOk());
  EXPECT_THAT(Channel<int>::Open(name), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(channel->Send(5), IsOk());
  EXPECT_THAT(other->Receive(), IsOkAndHolds(5));
}

TEST_F(ChannelTest, TheMessagesOfOneSenderArriveInOrder) {
  absl::StatusOr<Channel<uint64_t>> channel = Channel<uint64_t>::Create({.capacity = 16});
  ASSERT_THAT(channel, IsOk());
  constexpr uint64_t kMessages = 100'000;
  TestChild sender([&] {
    for (uint64_t i = 0; i < kMessages; ++i) {
      if (!channel->Send(i).ok()) return 1;
    }
    return channel->Close().ok() ? 0 : 1;
  });
  for (uint64_t i = 0; i < kMessages; ++i) ASSERT_THAT(channel->Receive(), IsOkAndHolds(i));
  EXPECT_THAT(channel->Receive(), StatusIs(kFailedPrecondition));
  EXPECT_EQ(sender.Wait(), 0);
}

// Whatever the sizes: each message once, and those of one sender in order for each receiver.
template <class Message, class Make, class Parse>
void ExpectEachOnce(Channel<Message>& channel, uint64_t messages, Make make, Parse parse) {
  constexpr uint64_t kSenders = 3;
  constexpr int kReceivers = 3;
  absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(kSenders * messages);
  ASSERT_THAT(memory, IsOk());
  auto* const received = static_cast<std::atomic<uint8_t>*>(memory->data());
  std::vector<TestChild> receivers;
  for (int i = 0; i < kReceivers; ++i) {
    receivers.emplace_back([&] {
      std::vector<uint64_t> next(kSenders, 0);
      while (true) {
        absl::StatusOr<Message> message = channel.Receive();
        if (!message.ok()) return absl::IsFailedPrecondition(message.status()) ? 0 : 1;
        const uint64_t number = parse(*message);
        if (number >= kSenders * messages) return 2;
        if (number % messages < next[number / messages]) return 3;
        next[number / messages] = number % messages + 1;
        ++received[number];
      }
    });
  }
  std::vector<TestChild> senders;
  for (uint64_t sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&] {
      for (uint64_t i = 0; i < messages; ++i) {
        if (!channel.Send(make(sender * messages + i)).ok()) return 1;
      }
      return 0;
    });
  }
  for (TestChild& sender : senders) EXPECT_EQ(sender.Wait(), 0);
  ASSERT_THAT(channel.Close(), IsOk());
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), 0);
  for (uint64_t i = 0; i < kSenders * messages; ++i) ASSERT_EQ(received[i], 1) << i;
}

TEST_F(ChannelTest, EachSmallMessageIsReceivedOnceByManyProcesses) {
  for (size_t capacity : {1, 8, 1024}) {
    absl::StatusOr<Channel<uint64_t>> channel = Channel<uint64_t>::Create({.capacity = capacity});
    ASSERT_THAT(channel, IsOk());
    ExpectEachOnce(
        *channel, 5000, [](uint64_t number) { return number; }, [](uint64_t number) { return number; });
  }
}

TEST_F(ChannelTest, EachStringIsReceivedOnceAndWholeByManyProcesses) {
  for (size_t capacity : {1, 4, 64}) {
    absl::StatusOr<Channel<std::string>> channel =
        Channel<std::string>::Create({.capacity = capacity, .max_message_bytes = 1024});
    ASSERT_THAT(channel, IsOk());
    const auto make = [](uint64_t number) {
      return absl::StrCat(number, " ", std::string(number * 37 % 1000, static_cast<char>('a' + number % 26)));
    };
    const auto parse = [&](const std::string& message) {
      const uint64_t number = std::stoull(message);
      return message == make(number) ? number : UINT64_MAX;
    };
    ExpectEachOnce(*channel, 2000, make, parse);
  }
}

TEST_F(ChannelTest, ThreadsOfOneProcessShareIt) {
  absl::StatusOr<Channel<Sample>> channel = Channel<Sample>::Create({.capacity = 8});
  ASSERT_THAT(channel, IsOk());
  constexpr uint64_t kMessages = 2000;
  std::atomic<uint64_t> sum = 0;
  std::vector<std::thread> receivers;
  for (int i = 0; i < 2; ++i) {
    receivers.emplace_back([&] {
      for (absl::StatusOr<Sample> sample = channel->Receive(); sample.ok(); sample = channel->Receive())
        sum += sample->number;
    });
  }
  std::vector<std::thread> senders;
  for (int i = 0; i < 2; ++i) {
    senders.emplace_back([&] {
      for (uint64_t number = 1; number <= kMessages; ++number)
        EXPECT_THAT(channel->Send({.number = number, .text = ""}), IsOk());
    });
  }
  for (std::thread& sender : senders) sender.join();
  ASSERT_THAT(channel->Close(), IsOk());
  for (std::thread& receiver : receivers) receiver.join();
  EXPECT_EQ(sum, kMessages * (kMessages + 1));
}

}  // namespace
}  // namespace ko
