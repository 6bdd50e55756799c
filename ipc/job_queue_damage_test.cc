#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_segment.h"
#include "ko/ipc/test_child.h"
#include "ko/ipc/test_segment.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Bytes in shared memory that somebody has overwritten.

namespace ko {

namespace {

using ::ko::testing::InChild;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

constexpr absl::Duration kNoWait = absl::ZeroDuration();

class JobQueueDamageTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue =
        SharedJobQueue::Create({.capacity_bytes = 4096, .max_participants = 4});
    ASSERT_THAT(queue, IsOk());
    queue_ = *std::move(queue);
  }
  void TearDown() override {
    queue_.reset();
    LeakCheckedTest::TearDown();
  }
  const JobSegment& segment() const { return SharedJobQueueTestPeer::Segment(*queue_); }
  JobHeader& header() const { return *segment().header; }

  void ExpectDataLossForEver() {
    EXPECT_THAT(queue_->Publish("x"), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(queue_->Receive(kNoWait), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(queue_->Close(), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(queue_->Stats(), StatusIs(absl::StatusCode::kDataLoss));
  }

  std::unique_ptr<SharedJobQueue> queue_;
};

TEST_F(JobQueueDamageTest, AWrongHeaderIsDataLoss) {
  header().magic = 1;
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, OtherSizesThanTheOnesItWasMadeWithAreDataLoss) {
  header().blocks = UINT32_MAX;
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, ALockHeldByNobodyIsDataLoss) {
  header().lock.word = 0x3ffffffe;  // no thread has such an id
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, ALockHeldByTheCallerIsDataLoss) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  header().lock.word = segment().participants[0].life.word.load();
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, AParticipantThatIsNotTheCallerIsDataLoss) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  segment().participants[0].life.word = 1;
  ExpectDataLossForEver();
  segment().participants[0].life.word = 0;
}

TEST_F(JobQueueDamageTest, AReadyJobOfAnotherSlotIsDataLoss) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  segment().heap[0].slot = uint64_t{1} << 40;
  EXPECT_THAT(queue_->Receive(kNoWait), StatusIs(absl::StatusCode::kDataLoss));
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, ABodyThatLeavesTheSegmentIsDataLoss) {
  ASSERT_THAT(queue_->Publish(std::string(300, 'x')), IsOk());
  const uint32_t first = segment().jobs[0].first_block;
  segment().links[first] = 32;  // one beyond the last
  EXPECT_THAT(queue_->Receive(kNoWait), StatusIs(absl::StatusCode::kDataLoss));
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, ABodyOfAWildSizeIsDataLoss) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  segment().jobs[0].body_bytes = UINT64_MAX;
  EXPECT_THAT(queue_->Receive(kNoWait), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JobQueueDamageTest, AFreeSlotInUseIsDataLoss) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  header().free_slot = 0;
  EXPECT_THAT(queue_->Publish("b"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JobQueueDamageTest, ACycleOfBlocksFoundByTheRepairIsDataLoss) {
  ASSERT_THAT(queue_->Publish(std::string(300, 'x')), IsOk());
  const uint32_t first = segment().jobs[0].first_block;
  segment().links[first] = first;
  header().unfinished = 1;
  ExpectDataLossForEver();
}

TEST_F(JobQueueDamageTest, SleepersAreToldOfDamage) {
  std::vector<TestChild> sleepers;
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back(
        [&] { return queue_->Receive().status().code() == absl::StatusCode::kDataLoss ? 0 : 1; });
  }
  AwaitSleepingReceivers(*queue_, 3);
  header().magic = 1;
  EXPECT_THAT(queue_->Publish("a"), StatusIs(absl::StatusCode::kDataLoss));
  for (TestChild& sleeper : sleepers) EXPECT_EQ(sleeper.Wait(), 0);
}

// A queue in full use.
void Use(SharedJobQueue& queue, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<Job> held;
  for (int i = 0; i < 40; ++i) {
    queue.Publish(std::string(random() % 500, 'x')).IgnoreError();
    absl::StatusOr<Job> job = queue.Receive(random() % 16 == 0 ? absl::Microseconds(100) : kNoWait);
    if (job.ok()) held.push_back(*std::move(job));
    if (held.size() > 3) {
      if (random() % 4 == 0) {
        held.front().Nack(random() % 2 == 0).IgnoreError();
      } else {
        held.front().Ack().IgnoreError();
      }
      held.erase(held.begin());
    }
    queue.Stats().status().IgnoreError();
  }
  queue.Publish("x", absl::Microseconds(100)).IgnoreError();
  queue.Close().IgnoreError();
}

TEST_F(JobQueueDamageTest, RandomDamageIsSurvived) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    const auto result = InChild([&] {
      absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue =
          SharedJobQueue::Create({.capacity_bytes = 4096, .max_participants = 4});
      std::minstd_rand random(seed);
      const JobSegment& segment = SharedJobQueueTestPeer::Segment(**queue);
      // Half of the rounds before a first use, half in the midst of it; each with the repair after a death,
      // too.
      if (seed % 2 == 0) {
        for (int i = 0; i < 8; ++i) (*queue)->Publish(std::string(random() % 500, 'x')).IgnoreError();
      }
      std::optional<Job> held;
      if (absl::StatusOr<Job> job = (*queue)->Receive(kNoWait); job.ok()) held = *std::move(job);
      // Everything but the bodies, which may be anything, and the lock, which cannot be told from one that is
      // held.
      char* const bytes = reinterpret_cast<char*>(segment.header);
      const auto lock = static_cast<size_t>(reinterpret_cast<char*>(&segment.header->lock) - bytes);
      for (unsigned i = 0; i <= seed % 40; ++i) {
        const size_t where = random() % segment.geometry.blocks_offset;
        if (where >= lock && where < lock + sizeof(os::RobustFutex)) continue;
        bytes[where] = static_cast<char>(bytes[where] ^ (1 << random() % 8));
      }
      if (seed % 3 == 0) segment.header->unfinished = 1;
      Use(**queue, seed);
    });
    ASSERT_TRUE(result.ok()) << "seed " << seed << ": " << result.err;
  }
}

}  // namespace
}  // namespace ko
