#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <bit>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/ipc/channel.h"
#include "ko/ipc/test_child.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Senders and receivers under load, killed at any instant and started again; every message accounted for.

namespace ko {
namespace {

using ::ko::testing::IsOk;
using ::ko::testing::Rounds;

constexpr uint64_t kMaxMessages = 8'000'000;

// Beside the channel, in memory of its own: what the processes have seen, by the number of the message.
struct Ledger {
  std::atomic<uint64_t> next_life;
  std::atomic<uint64_t> out_of_order;
  std::atomic<uint64_t> torn;
  std::atomic<uint64_t> next_number;
  std::atomic<uint8_t> sent[kMaxMessages];
  std::atomic<uint8_t> received[kMaxMessages];
};

// The number of a message and its sender's life: numbers grow in each life.
struct Tag {
  uint32_t life;
  uint32_t number;
};
static_assert(sizeof(Tag) == 8);

std::string MakeBody(const Tag& tag) {
  std::minstd_rand random(tag.number + 1);
  std::string body(sizeof tag + random() % 900, '\0');
  std::memcpy(body.data(), &tag, sizeof tag);
  for (size_t i = sizeof tag; i < body.size(); ++i) body[i] = static_cast<char>(random());
  return body;
}

template <class Message>
Message Make(const Tag& tag) {
  if constexpr (std::is_same_v<Message, std::string>) {
    return MakeBody(tag);
  } else {
    return std::bit_cast<Message>(tag);
  }
}

bool Parse(uint64_t message, Tag& tag) {
  tag = std::bit_cast<Tag>(message);
  return tag.number < kMaxMessages;
}
bool Parse(const std::string& message, Tag& tag) {
  if (message.size() < sizeof tag) return false;
  std::memcpy(&tag, message.data(), sizeof tag);
  return tag.number < kMaxMessages && message == MakeBody(tag);
}

template <class Message>
class ChannelKillTest : public testing::LeakCheckedTest {
 protected:
  int Send(Channel<Message>& channel, Ledger& ledger) {
    Tag tag = {.life = static_cast<uint32_t>(ledger.next_life++), .number = 0};
    while (true) {
      const uint64_t number = ledger.next_number++;
      if (number >= kMaxMessages) return 2;
      tag.number = static_cast<uint32_t>(number);
      if (absl::Status status = channel.Send(Make<Message>(tag)); !status.ok())
        return absl::IsFailedPrecondition(status) ? 0 : 1;
      ledger.sent[number] = 1;
    }
  }

  int Receive(Channel<Message>& channel, Ledger& ledger) {
    std::vector<uint32_t> last;
    while (true) {
      absl::StatusOr<Message> message = channel.Receive();
      if (!message.ok()) return absl::IsFailedPrecondition(message.status()) ? 0 : 1;
      Tag tag;
      if (!Parse(*message, tag)) {
        ++ledger.torn;
        return 1;
      }
      ++ledger.received[tag.number];
      if (last.size() <= tag.life) last.resize(tag.life + 1, 0);
      if (last[tag.life] > tag.number) ++ledger.out_of_order;
      last[tag.life] = tag.number;
    }
  }

  void Run(Channel<Message>& channel, Ledger& ledger, int senders, int receivers, uint64_t max_messages) {
    const int kills = Rounds(250);
    std::minstd_rand random(20240722);
    const auto start = [&](int index) {
      return TestChild([&] { return index < senders ? Send(channel, ledger) : Receive(channel, ledger); });
    };
    std::vector<TestChild> children;
    for (int i = 0; i < senders + receivers; ++i) children.push_back(start(i));
    uint64_t killed_receivers = 0;
    for (int i = 0; i < kills; ++i) {
      const uint64_t until = ledger.next_number + random() % max_messages;
      while (ledger.next_number < until) ::sched_yield();
      // Sometimes several at once, so that those who recover from a death die as well.
      std::vector<size_t> victims;
      for (size_t victim = 0; victim < children.size(); ++victim) {
        if (random() % 6 == 0) victims.push_back(victim);
      }
      for (size_t victim : victims) children[victim].Kill();
      for (size_t victim : victims) {
        ASSERT_EQ(children[victim].Wait(), -SIGKILL);
        if (static_cast<int>(victim) >= senders) ++killed_receivers;
        children[victim] = start(static_cast<int>(victim));
      }
    }
    ASSERT_THAT(channel.Close(), IsOk());
    for (TestChild& child : children) ASSERT_EQ(child.Wait(), 0);
    EXPECT_EQ(ledger.torn, 0u);
    EXPECT_EQ(ledger.out_of_order, 0u);
    uint64_t lost = 0;
    uint64_t received = 0;
    for (uint64_t number = 0; number < ledger.next_number; ++number) {
      ASSERT_LE(ledger.received[number], 1) << number;
      received += ledger.received[number];
      lost += ledger.sent[number] == 1 && ledger.received[number] == 0 ? 1 : 0;
    }
    EXPECT_GT(received, 0u);
    EXPECT_LE(lost, killed_receivers);
  }
};

using Messages = ::testing::Types<uint64_t, std::string>;
TYPED_TEST_SUITE(ChannelKillTest, Messages);

struct Crowd {
  size_t capacity;
  int senders, receivers;
  uint64_t max_messages;  // between two deaths
};

TYPED_TEST(ChannelKillTest, EveryMessageIsAccountedFor) {
  // One of a kind comes to own its side, where it lives for long enough.
  for (const auto& [capacity, senders, receivers, max_messages] :
       {Crowd{1, 3, 3, 40}, Crowd{16, 3, 3, 200}, Crowd{64, 1, 1, 2000}, Crowd{64, 2, 1, 1000}}) {
    absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(sizeof(Ledger));
    ASSERT_THAT(memory, IsOk());
    absl::StatusOr<Channel<TypeParam>> channel =
        Channel<TypeParam>::Create({.capacity = capacity, .max_message_bytes = 1024, .max_participants = 16});
    ASSERT_THAT(channel, IsOk());
    this->Run(*channel, *static_cast<Ledger*>(memory->data()), senders, receivers, max_messages);
    if (this->HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace ko
