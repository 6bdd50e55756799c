#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_segment.h"
#include "ko/ipc/test_child.h"
#include "ko/ipc/test_segment.h"
#include "ko/testing/kill_at_every_instruction.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Each operation of the queue, killed before each of its instructions; the others account for every job and
// go on.

namespace ko {
namespace {

using testing::IsOk;
using testing::KillAtEveryInstruction;
using testing::KillPoint;
using testing::KillPointsStartHere;
using testing::KillReport;

constexpr size_t kBlocks = 6;

std::string Body(size_t bytes) {
  std::string body(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) body[i] = static_cast<char>('a' + i * 7 % 26);
  return body;
}

// A queue, and a job or more in it. The test itself takes no part in it: its children do.
struct Fixture {
  explicit Fixture(std::vector<std::string> jobs = {}) {
    queue = *SharedJobQueue::Create({.capacity_bytes = kBlocks * kJobBlockBytes, .max_participants = 8});
    if (jobs.empty()) return;
    const auto publish = [&] {
      for (const std::string& job : jobs) {
        if (!queue->Publish(job).ok()) return 1;
      }
      return 0;
    };
    EXPECT_EQ(TestChild(publish).Wait(), 0);
  }
  const JobSegment& segment() const { return SharedJobQueueTestPeer::Segment(*queue); }

  std::unique_ptr<SharedJobQueue> queue;
  std::optional<TestChild> other;  // a process that takes part
};

std::unique_ptr<Fixture> Empty() { return std::make_unique<Fixture>(); }

// Makes the calling process a participant, which is an operation of its own.
void Join(Fixture& fixture) { (void)fixture.queue->Stats(); }

JobQueueStats StatsOf(Fixture& fixture) {
  const absl::StatusOr<JobQueueStats> stats = fixture.queue->Stats();
  EXPECT_THAT(stats, IsOk());
  return stats.value_or(JobQueueStats());
}

// The counts agree with each other and with the storage that is used.
void ExpectBalanced(const JobQueueStats& stats) {
  EXPECT_EQ(stats.published, stats.ready + stats.leased + stats.acked + stats.dropped);
  EXPECT_EQ(stats.leased, 0u);
  EXPECT_EQ(stats.sleeping_receivers + stats.sleeping_publishers, 0u);
}

// Takes what there is, which has to be `bodies`.
void Drain(Fixture& fixture, const std::vector<std::string>& bodies) {
  for (const std::string& body : bodies) {
    absl::StatusOr<Job> job = fixture.queue->Receive(absl::ZeroDuration());
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), body);
    EXPECT_THAT(job->Ack(), IsOk());
  }
  const JobQueueStats stats = StatsOf(fixture);
  ExpectBalanced(stats);
  EXPECT_EQ(stats.ready, 0u);
  EXPECT_EQ(stats.used_bytes, 0u);
}

// All of the storage and of the slots can be used again, and no more than that.
void ExpectWhole(Fixture& fixture) {
  const std::string block = Body(kJobBlockBytes);
  for (size_t i = 0; i < kBlocks; ++i) ASSERT_THAT(fixture.queue->Publish(block), IsOk());
  EXPECT_EQ(fixture.queue->Publish(block).code(), absl::StatusCode::kResourceExhausted);
  Drain(fixture, std::vector<std::string>(kBlocks, block));
}

class JobQueueEveryInstructionTest : public testing::LeakCheckedTest {
 protected:
  void ExpectComplete(const KillReport& report) {
    EXPECT_TRUE(report.completed);
    RecordProperty("report", report.ToString());
    std::printf("%s\n", report.ToString().c_str());
  }

  // More than these operations have, the sanitizers' builds apart.
  const testing::KillOptions options_ = {.max_points = testing::Rounds(4000)};

  // Publishing a body is done or not, and never by half.
  void KillPublish(const std::string& body) {
    ExpectComplete(KillAtEveryInstruction(
        Empty,
        [&](Fixture& fixture) {
          Join(fixture);
          KillPointsStartHere();
          EXPECT_THAT(fixture.queue->Publish(body), IsOk());
        },
        [&](Fixture& fixture, const KillPoint& point) {
          const JobQueueStats stats = StatsOf(fixture);
          ExpectBalanced(stats);
          EXPECT_EQ(stats.acked + stats.dropped + stats.redelivered, 0u);
          EXPECT_LE(stats.published, 1u);
          if (point.completed) {
            EXPECT_EQ(stats.published, 1u);
          }
          Drain(fixture, std::vector<std::string>(stats.published, body));
          ExpectWhole(fixture);
        },
        options_));
  }

  // What a process does with the one job there is. `dropped` and `acked`: what its completion counts.
  template <class Operation>
  void KillWithJob(Operation operation, uint64_t acked, uint64_t dropped) {
    const std::string body = Body(300);
    ExpectComplete(KillAtEveryInstruction(
        [&] { return std::make_unique<Fixture>(std::vector<std::string>{body}); }, operation,
        [&](Fixture& fixture, const KillPoint& point) {
          const JobQueueStats stats = StatsOf(fixture);
          ExpectBalanced(stats);
          EXPECT_EQ(stats.published, 1u);
          EXPECT_LE(stats.acked, acked);
          EXPECT_LE(stats.dropped, dropped);
          if (point.completed) {
            EXPECT_EQ(stats.acked, acked);
            EXPECT_EQ(stats.dropped, dropped);
          }
          Drain(fixture, std::vector<std::string>(stats.ready, body));
          EXPECT_LE(StatsOf(fixture).redelivered, 1u);
          ExpectWhole(fixture);
        },
        options_));
  }
};

TEST_F(JobQueueEveryInstructionTest, FirstUseJoinsOrDoesNot) {
  ExpectComplete(
      KillAtEveryInstruction(Empty, Join, [](Fixture& fixture) { ExpectWhole(fixture); }, options_));
}

TEST_F(JobQueueEveryInstructionTest, SmallJobIsPublishedOrNot) { KillPublish(Body(5)); }

TEST_F(JobQueueEveryInstructionTest, EmptyJobIsPublishedOrNot) { KillPublish(""); }

TEST_F(JobQueueEveryInstructionTest, JobOfManyBlocksIsPublishedWholeOrNot) {
  KillPublish(Body(4 * kJobBlockBytes + 1));
}

TEST_F(JobQueueEveryInstructionTest, PublishIntoAFullQueueChangesNothing) {
  const std::vector<std::string> jobs(kBlocks, Body(kJobBlockBytes));
  ExpectComplete(KillAtEveryInstruction([&] { return std::make_unique<Fixture>(jobs); },
                                        [&](Fixture& fixture) {
                                          Join(fixture);
                                          KillPointsStartHere();
                                          (void)fixture.queue->Publish("one too many");
                                        },
                                        [&](Fixture& fixture) {
                                          EXPECT_EQ(StatsOf(fixture).published, kBlocks);
                                          Drain(fixture, jobs);
                                          ExpectWhole(fixture);
                                        },
                                        options_));
}

TEST_F(JobQueueEveryInstructionTest, ReceivedJobComesBack) {
  KillWithJob(
      [](Fixture& fixture) {
        Join(fixture);
        KillPointsStartHere();
        new Job(*fixture.queue->Receive());  // is not given back by the process
      },
      0, 0);
}

TEST_F(JobQueueEveryInstructionTest, JobIsAcknowledgedOrComesBack) {
  KillWithJob(
      [](Fixture& fixture) {
        Job job = *fixture.queue->Receive();
        KillPointsStartHere();
        EXPECT_THAT(job.Ack(), IsOk());
      },
      1, 0);
}

TEST_F(JobQueueEveryInstructionTest, JobThatIsHandedBackComesBack) {
  KillWithJob(
      [](Fixture& fixture) {
        Job job = *fixture.queue->Receive();
        KillPointsStartHere();
        EXPECT_THAT(job.Nack(), IsOk());
      },
      0, 0);
}

TEST_F(JobQueueEveryInstructionTest, JobIsDroppedOrComesBack) {
  KillWithJob(
      [](Fixture& fixture) {
        Job job = *fixture.queue->Receive();
        KillPointsStartHere();
        EXPECT_THAT(job.Nack(false), IsOk());
      },
      0, 1);
}

TEST_F(JobQueueEveryInstructionTest, JobThatIsDestroyedComesBack) {
  KillWithJob(
      [](Fixture& fixture) {
        std::optional<Job> job = *fixture.queue->Receive();
        KillPointsStartHere();
        job.reset();
      },
      0, 0);
}

TEST_F(JobQueueEveryInstructionTest, QueueIsClosedOrNot) {
  ExpectComplete(KillAtEveryInstruction(
      [] { return std::make_unique<Fixture>(std::vector<std::string>{"job"}); },
      [](Fixture& fixture) {
        Join(fixture);
        KillPointsStartHere();
        EXPECT_THAT(fixture.queue->Close(), IsOk());
      },
      [](Fixture& fixture, const KillPoint& point) {
        const absl::Status published = fixture.queue->Publish("another");
        if (point.completed) {
          EXPECT_FALSE(published.ok());
        }
        if (published.ok()) {
          Drain(fixture, {"job", "another"});
          ExpectWhole(fixture);
        } else {
          EXPECT_EQ(published.code(), absl::StatusCode::kFailedPrecondition);
          Drain(fixture, {"job"});
          EXPECT_EQ(fixture.queue->Receive().status().code(), absl::StatusCode::kFailedPrecondition);
        }
      },
      options_));
}

// The one who finds the dead may die over it.
TEST_F(JobQueueEveryInstructionTest, JobsOfADeadHolderComeBackInTheirOrder) {
  const std::vector<std::string> jobs = {"first", "second", Body(200)};
  ExpectComplete(KillAtEveryInstruction(
      [&] {
        auto fixture = std::make_unique<Fixture>(jobs);
        const auto take_all = [&] {
          for (size_t i = 0; i < jobs.size(); ++i) new Job(*fixture->queue->Receive());
          ::kill(::getpid(), SIGKILL);
          return 0;
        };
        EXPECT_EQ(TestChild(take_all).Wait(), -SIGKILL);
        return fixture;
      },
      [](Fixture& fixture) { new Job(*fixture.queue->Receive()); },
      [&](Fixture& fixture) {
        ExpectBalanced(StatsOf(fixture));
        Drain(fixture, jobs);
        EXPECT_GE(StatsOf(fixture).redelivered, 3u);
        EXPECT_LE(StatsOf(fixture).redelivered, 4u);
        ExpectWhole(fixture);
      },
      options_));
}

// A death inside the lock leaves everything derived to be made again. The fields are spoiled here, since they
// may be anything then.
TEST_F(JobQueueEveryInstructionTest, RepairMayBeBrokenOff) {
  const std::vector<std::string> jobs = {"first", "second", Body(200)};
  ExpectComplete(KillAtEveryInstruction(
      [&] {
        auto fixture = std::make_unique<Fixture>(jobs);
        JobHeader& header = *fixture->segment().header;
        header.unfinished = 1;
        header.ready = 77;
        header.leased = 88;
        header.free_slot = 0;
        header.free_block = 0;
        header.listed_blocks = 99;
        return fixture;
      },
      Join,
      [&](Fixture& fixture) {
        ExpectBalanced(StatsOf(fixture));
        Drain(fixture, jobs);
        ExpectWhole(fixture);
      },
      options_));
}

// Sleepers are told whatever becomes of the one that has something for them.
TEST_F(JobQueueEveryInstructionTest, SleepingReceiverGetsWhatIsPublished) {
  ExpectComplete(KillAtEveryInstruction(
      [] {
        auto fixture = Empty();
        const auto receive = [&] {
          absl::StatusOr<Job> job = fixture->queue->Receive();
          return job.ok() && job->Ack().ok() ? 0 : 1;
        };
        fixture->other.emplace(receive);
        const JobSegment& segment = fixture->segment();
        while (segment.participants[0].sleep != static_cast<uint32_t>(JobSleep::kReceiver)) ::sched_yield();
        return fixture;
      },
      [](Fixture& fixture) {
        Join(fixture);
        KillPointsStartHere();
        EXPECT_THAT(fixture.queue->Publish("job"), IsOk());
      },
      [](Fixture& fixture) {
        // What has been published is received without anybody else's doing.
        const JobHeader& header = *fixture.segment().header;
        if (header.next_id == 1) {
          EXPECT_THAT(fixture.queue->Publish("job"), IsOk());
        }
        const JobSegment& segment = fixture.segment();
        while (segment.participants[0].life.word != 0 &&
               (segment.participants[0].life.word & FUTEX_OWNER_DIED) == 0) {
          ::sched_yield();
        }
        const JobQueueStats stats = StatsOf(fixture);
        ExpectBalanced(stats);
        EXPECT_EQ(stats.acked, 1u);
        Drain(fixture, std::vector<std::string>(stats.ready, "job"));
        ExpectWhole(fixture);
      },
      options_));
}

// The test itself takes part here: a newcomer would wake the sleeper twice.
TEST_F(JobQueueEveryInstructionTest, ReceiverThatSleepsMayDieAsleepAndAfter) {
  ExpectComplete(KillAtEveryInstruction(
      [] {
        auto fixture = Empty();
        Join(*fixture);
        return fixture;
      },
      [](Fixture& fixture) {
        Join(fixture);
        KillPointsStartHere();
        new Job(*fixture.queue->Receive());
      },
      [](Fixture& fixture) {
        const JobQueueStats stats = StatsOf(fixture);
        ExpectBalanced(stats);
        Drain(fixture, std::vector<std::string>(stats.published, "job"));
        ExpectWhole(fixture);
      },
      options_, [](Fixture& fixture) { EXPECT_THAT(fixture.queue->Publish("job"), IsOk()); }));
}

}  // namespace
}  // namespace ko
