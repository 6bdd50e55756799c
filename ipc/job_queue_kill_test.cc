#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/test_child.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Producers and consumers under load, killed at any instant and started again; every job accounted for.

namespace ko {
namespace {

using ::ko::testing::IsOk;

constexpr uint64_t kMaxJobs = 4'000'000;

// Beside the queue, in memory of its own: what the processes have seen, by the number of the job.
struct Ledger {
  std::atomic<uint64_t> next_number;
  std::atomic<uint64_t> torn;
  std::atomic<uint64_t> refused_acks;
  std::atomic<uint8_t> received[kMaxJobs];
  std::atomic<uint8_t> acked[kMaxJobs];
};

// A body that tells its number, and whether it is whole.
std::string MakeBody(uint64_t number) {
  std::minstd_rand random(static_cast<unsigned>(number) + 1);
  std::string body(8 + random() % 700, '\0');
  std::memcpy(body.data(), &number, 8);
  for (size_t i = 8; i < body.size(); ++i) body[i] = static_cast<char>(random());
  return body;
}

bool IsWhole(std::string_view body, uint64_t* number) {
  if (body.size() < 8) return false;
  std::memcpy(number, body.data(), 8);
  return *number < kMaxJobs && body == MakeBody(*number);
}

class JobQueueKillTest : public testing::LeakCheckedTest {
 protected:
  int Produce() {
    while (true) {
      const uint64_t number = ledger_->next_number++;
      if (number >= kMaxJobs) return 2;
      if (!queue_->Publish(MakeBody(number), absl::InfiniteDuration()).ok()) return 1;
    }
  }

  int Consume(unsigned seed) {
    std::minstd_rand random(seed);
    std::vector<Job> held;
    while (true) {
      absl::StatusOr<Job> job =
          queue_->Receive(held.empty() ? absl::InfiniteDuration() : absl::Milliseconds(1));
      if (job.status().code() == absl::StatusCode::kFailedPrecondition) return 0;
      if (job.ok()) {
        uint64_t number;
        if (!IsWhole(job->body(), &number)) {
          ++ledger_->torn;
          return 1;
        }
        ledger_->received[number] = 1;
        const unsigned choice = random() % 8;
        if (choice == 1) {
          if (!job->Nack().ok()) return 1;
          continue;
        }
        held.push_back(*std::move(job));
        if (choice == 0 && held.size() < 4) continue;  // keeps it for a while
      }
      for (Job& each : held) {
        uint64_t number;
        IsWhole(each.body(), &number);
        if (each.Ack().ok()) {
          ++ledger_->acked[number];
        } else {
          ++ledger_->refused_acks;
        }
      }
      held.clear();
    }
  }

  std::unique_ptr<SharedJobQueue> queue_;
  Ledger* ledger_ = nullptr;
};

TEST_F(JobQueueKillTest, EveryJobIsAccountedFor) {
  constexpr int kProducers = 3;
  constexpr int kConsumers = 4;
  constexpr int kKills = testing::Rounds(3000);
  {
    absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(sizeof(Ledger));
    ASSERT_THAT(memory, IsOk());
    ledger_ = static_cast<Ledger*>(memory->data());
    absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue =
        SharedJobQueue::Create({.capacity_bytes = 16 << 10});
    ASSERT_THAT(queue, IsOk());
    queue_ = *std::move(queue);

    std::minstd_rand random(20240722);
    const auto start = [&](int index) {
      const unsigned seed = random();
      return TestChild([&] { return index < kProducers ? Produce() : Consume(seed); });
    };
    std::vector<TestChild> children;
    for (int i = 0; i < kProducers + kConsumers; ++i) children.push_back(start(i));
    for (int i = 0; i < kKills; ++i) {
      for (volatile unsigned spin = random() % 40'000; spin > 0; spin = spin - 1) {
      }
      // Sometimes several at once, so that those who recover from a death die as well.
      std::vector<size_t> victims;
      for (size_t count = random() % 4 == 0 ? 3 : 1; victims.size() < count;)
        victims.push_back(random() % children.size());
      for (size_t victim : victims) children[victim].Kill();
      for (size_t victim : victims) {
        const int end = children[victim].KillAndWait();
        ASSERT_EQ(end, -SIGKILL);
        children[victim] = start(static_cast<int>(victim));
      }
    }
    // The system goes on by itself: all the rest is consumed, and the sleepers learn of the end.
    for (int i = 0; i < kProducers; ++i) ASSERT_EQ(children[i].KillAndWait(), -SIGKILL);
    ASSERT_THAT(queue_->Close(), IsOk());
    for (int i = kProducers; i < kProducers + kConsumers; ++i) ASSERT_EQ(children[i].Wait(), 0);

    const JobQueueStats stats = *queue_->Stats();
    uint64_t received = 0;
    uint64_t acked = 0;
    for (uint64_t number = 0; number < ledger_->next_number && number < kMaxJobs; ++number) {
      received += ledger_->received[number];
      acked += ledger_->acked[number];
      ASSERT_LE(ledger_->acked[number], 1) << "job " << number << " was acknowledged twice";
      ASSERT_LE(ledger_->acked[number], ledger_->received[number]);
    }
    EXPECT_EQ(ledger_->torn, 0u);
    EXPECT_EQ(ledger_->refused_acks, 0u);
    EXPECT_EQ(stats.ready, 0u);
    EXPECT_EQ(stats.leased, 0u);
    EXPECT_EQ(stats.dropped, 0u);
    EXPECT_EQ(stats.used_bytes, 0u);
    EXPECT_EQ(stats.sleeping_receivers + stats.sleeping_publishers, 0u);
    EXPECT_EQ(stats.published, stats.acked);
    // A consumer may die between an effect and its note in the ledger, at most once in each of its lives.
    EXPECT_GE(received + kKills * 3, stats.published);
    EXPECT_LE(received, stats.published);
    EXPECT_LE(acked, stats.acked);
    EXPECT_GT(stats.redelivered, 0u);
    RecordProperty("published", static_cast<int>(stats.published));
    RecordProperty("redelivered", static_cast<int>(stats.redelivered));
    queue_.reset();
  }
}

}  // namespace
}  // namespace ko
