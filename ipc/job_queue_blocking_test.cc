#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_queue_sleep_test_base.h"
#include "ko/ipc/job_segment.h"
#include "ko/ipc/test_child.h"
#include "ko/ipc/test_segment.h"
#include "ko/os/futex.h"
#include "ko/testing/gate.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Who sleeps is woken, by whatever it waits for, wherever a death strikes.

namespace ko {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::Gate;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

class JobQueueBlockingTest : public JobQueueSleepTest {};

constexpr int kClosed = 100 + static_cast<int>(absl::StatusCode::kFailedPrecondition);

TEST_F(JobQueueBlockingTest, ASleepingReceiverGetsTheNextJob) {
  TestChild receiver = Receiver();
  AwaitAsleep(receiver, 1);
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  EXPECT_EQ(receiver.Wait(), 1);
}

TEST_F(JobQueueBlockingTest, SleepingReceiversShareWhatComes) {
  std::vector<TestChild> receivers;
  for (int i = 0; i < 8; ++i) receivers.push_back(Receiver());
  AwaitSleepingReceivers(*queue_, 8);
  for (int i = 0; i < 8; ++i) ASSERT_THAT(queue_->Publish("a"), IsOk());
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), 1);
  EXPECT_EQ(queue_->Stats()->acked, 8u);
}

TEST_F(JobQueueBlockingTest, AKilledHoldersJobGoesToASleeperAtOnce) {
  Gate gate;
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild holder = Holder(gate);
  ASSERT_TRUE(gate.Pass());
  TestChild receiver = Receiver();
  AwaitAsleep(receiver, 1);
  EXPECT_EQ(holder.KillAndWait(), -SIGKILL);
  // Nobody does anything with the queue from here on.
  EXPECT_EQ(receiver.Wait(), 2);
}

TEST_F(JobQueueBlockingTest, AHolderThatCameAfterTheSleeperIsWatchedToo) {
  TestChild receiver = Receiver();
  AwaitAsleep(receiver, 1);
  // The holder takes the job before the sleeper can: they come in this order, and the sleeper is stopped.
  Stop(receiver);
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  Gate gate;
  TestChild holder = Holder(gate);
  ASSERT_TRUE(gate.Pass());
  ASSERT_EQ(::kill(receiver.pid(), SIGCONT), 0);
  AwaitAsleep(receiver, 1);
  holder.KillAndWait();
  EXPECT_EQ(receiver.Wait(), 2);
}

TEST_F(JobQueueBlockingTest, AHolderThatExitsGivesItsJobBack) {
  Gate gate;
  Gate leave;
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild holder([&] {
    absl::StatusOr<Job> job = queue_->Receive();
    gate.Open();
    leave.Pass();
    ::_exit(0);
    return 0;
  });
  ASSERT_TRUE(gate.Pass());
  TestChild receiver = Receiver();
  AwaitAsleep(receiver, 1);
  leave.Open();
  EXPECT_EQ(receiver.Wait(), 2);
  EXPECT_EQ(holder.Wait(), 0);
}

TEST_F(JobQueueBlockingTest, AHoldersThreadThatEndsGivesItsJobBack) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild receiver = Receiver();
  ASSERT_EQ(receiver.Wait(), 1);
  ASSERT_THAT(queue_->Publish("b"), IsOk());
  std::atomic<int> step = 0;
  std::optional<Job> job;
  std::thread holder([&] {
    job = *queue_->Receive();
    step = 1;
    step.notify_one();
    while (step.load() != 2) step.wait(1);
  });
  while (step.load() != 1) step.wait(0);
  TestChild sleeper = Receiver();
  AwaitAsleep(sleeper, 1);
  step = 2;
  step.notify_one();
  EXPECT_EQ(sleeper.Wait(), 2);
  holder.join();
  EXPECT_THAT(job->Ack(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JobQueueBlockingTest, AJobHandedBackWakesASleeper) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  absl::StatusOr<Job> job = queue_->Receive();
  TestChild receiver = Receiver();
  AwaitAsleep(receiver, 1);
  EXPECT_THAT(job->Nack(), IsOk());
  EXPECT_EQ(receiver.Wait(), 2);
}

TEST_F(JobQueueBlockingTest, ARespawnedProcessTakesUpTheWork) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  for (int i = 0; i < 20; ++i) {
    Gate gate;
    TestChild holder = Holder(gate);
    ASSERT_TRUE(gate.Pass());
    holder.KillAndWait();
  }
  EXPECT_EQ(Receiver().Wait(), 21);
}

TEST_F(JobQueueBlockingTest, CloseEndsAllSleepers) {
  Make({.capacity_bytes = 128});
  std::vector<TestChild> children;
  for (int i = 0; i < 6; ++i) children.push_back(Receiver());
  AwaitSleepingReceivers(*queue_, 6);
  EXPECT_THAT(queue_->Close(), IsOk());
  for (TestChild& child : children) EXPECT_EQ(child.Wait(), kClosed);
}

TEST_F(JobQueueBlockingTest, CloseEndsAllSleepingPublishers) {
  Make({.capacity_bytes = 128});
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  std::vector<TestChild> children;
  for (int i = 0; i < 6; ++i) {
    children.emplace_back(
        [&] { return static_cast<int>(queue_->Publish("b", absl::InfiniteDuration()).code()); });
  }
  AwaitSleepingPublishers(*queue_, 6);
  EXPECT_THAT(queue_->Close(), IsOk());
  for (TestChild& child : children) {
    EXPECT_EQ(child.Wait(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  }
}

TEST_F(JobQueueBlockingTest, TheLastAckOfAClosedOneEndsAllSleepers) {
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  absl::StatusOr<Job> job = queue_->Receive();
  ASSERT_THAT(queue_->Close(), IsOk());
  std::vector<TestChild> receivers;
  for (int i = 0; i < 4; ++i) receivers.push_back(Receiver());
  AwaitSleepingReceivers(*queue_, 4);
  EXPECT_THAT(job->Ack(), IsOk());
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), kClosed);
}

TEST_F(JobQueueBlockingTest, AClosedOneGivesWhatAKilledHolderHad) {
  Gate gate;
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild holder = Holder(gate);
  ASSERT_TRUE(gate.Pass());
  ASSERT_THAT(queue_->Close(), IsOk());
  std::array<TestChild, 2> receivers = {Receiver(), Receiver()};
  AwaitSleepingReceivers(*queue_, 2);
  holder.KillAndWait();
  const std::pair<int, int> results = {receivers[0].Wait(), receivers[1].Wait()};
  EXPECT_TRUE(results == std::pair(2, kClosed) || results == std::pair(kClosed, 2));
}

TEST_F(JobQueueBlockingTest, RoomWakesASleepingPublisher) {
  Make({.capacity_bytes = 128});
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild publisher([&] { return queue_->Publish("b", absl::InfiniteDuration()).ok() ? 0 : 1; });
  AwaitSleepingPublishers(*queue_, 1);
  EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
  EXPECT_EQ(publisher.Wait(), 0);
  EXPECT_EQ(queue_->Receive()->body(), "b");
}

TEST_F(JobQueueBlockingTest, RoomGoesToAPublisherThatFits) {
  Make({.capacity_bytes = 1280});
  for (int i = 0; i < 10; ++i) ASSERT_THAT(queue_->Publish("a"), IsOk());
  const auto publisher = [&](size_t bytes) {
    return TestChild(
        [&] { return queue_->Publish(std::string(bytes, 'x'), absl::InfiniteDuration()).ok() ? 0 : 1; });
  };
  TestChild large = publisher(1280);
  AwaitSleepingPublishers(*queue_, 1);
  std::array<TestChild, 3> small = {publisher(1), publisher(1), publisher(1)};
  AwaitSleepingPublishers(*queue_, 4);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
  for (TestChild& child : small) EXPECT_EQ(child.Wait(), 0);
  for (int i = 0; i < 10; ++i) EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
  EXPECT_EQ(large.Wait(), 0);
  EXPECT_EQ(queue_->Receive()->body().size(), 1280u);
}

TEST_F(JobQueueBlockingTest, AKilledHolderDoesNotCostAPublisherItsRoom) {
  Make({.capacity_bytes = 128, .max_body_bytes = 128, .max_jobs = 1});
  Gate gate;
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  TestChild holder = Holder(gate);
  ASSERT_TRUE(gate.Pass());
  TestChild publisher([&] { return queue_->Publish("b", absl::InfiniteDuration()).ok() ? 0 : 1; });
  AwaitSleepingPublishers(*queue_, 1);
  TestChild receiver = Receiver();
  AwaitSleepingReceivers(*queue_, 1);
  holder.KillAndWait();
  EXPECT_EQ(receiver.Wait(), 2);
  EXPECT_EQ(publisher.Wait(), 0);
}

TEST_F(JobQueueBlockingTest, AnInterruptFromAnotherThreadEndsTheSleep) {
  std::atomic<uint32_t> word = 0;
  std::thread receiver([&] {
    EXPECT_THAT(queue_->Receive(absl::InfiniteDuration(), {.word = &word, .expected = 0}),
                StatusIs(absl::StatusCode::kCancelled));
  });
  AwaitSleepingReceivers(*queue_, 1);
  word = 1;
  os::FutexWake(word, os::FutexScope::kPrivate, 1);
  receiver.join();
  EXPECT_EQ(queue_->Stats()->sleeping_receivers, 0u);
}

TEST_F(JobQueueBlockingTest, ASleeperKilledWithItsWakeUpLosesNothing) {
  Gate gate;
  for (int i = 0; i < testing::Rounds(300); ++i) {
    TestChild first = Holder(gate);
    AwaitAsleep(first, 1);
    TestChild second = Receiver();
    AwaitAsleep(second, 2);
    // Stopped in every other round, so that it dies for certain between its wake-up and the job.
    if (i % 2 == 0) Stop(first);
    ASSERT_THAT(queue_->Publish("a"), IsOk());
    first.KillAndWait();
    const int attempt = second.Wait();
    ASSERT_TRUE(attempt == 1 || (attempt == 2 && i % 2 != 0)) << attempt;
  }
  EXPECT_EQ(queue_->Stats()->acked, static_cast<uint64_t>(testing::Rounds(300)));
}

TEST_F(JobQueueBlockingTest, APublisherKilledWithItsWakeUpLosesNothing) {
  Make({.capacity_bytes = 128});
  for (int i = 0; i < testing::Rounds(100); ++i) {
    ASSERT_THAT(queue_->Publish("a"), IsOk());
    const auto publish = [&] { return queue_->Publish("b", absl::InfiniteDuration()).ok() ? 0 : 1; };
    TestChild first(publish);
    AwaitSleepingPublishers(*queue_, 1);
    ASSERT_TRUE(AwaitState(first.pid(), 'S'));
    TestChild second(publish);
    AwaitSleepingPublishers(*queue_, 2);
    ASSERT_TRUE(AwaitState(second.pid(), 'S'));
    Stop(first);
    EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
    first.KillAndWait();
    EXPECT_EQ(second.Wait(), 0);
    EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
  }
}

TEST_F(JobQueueBlockingTest, AKilledPublishersJobIsReceivedByASleeper) {
  const JobSegment& segment = SharedJobQueueTestPeer::Segment(*queue_);
  for (int i = 0; i < testing::Rounds(300); ++i) {
    const uint64_t next_id = segment.header->next_id;
    TestChild receiver = Receiver();
    AwaitAsleep(receiver, 1);
    Gate gate;
    TestChild publisher([&] {
      gate.Open();
      return queue_->Publish("a").ok() ? 0 : 1;
    });
    gate.Pass();
    for (volatile int spin = 0; spin < i * 100; spin = spin + 1) {
    }
    publisher.KillAndWait();
    // A job that was published has to reach the sleeper by itself, so whether it was is read without an
    // operation: as a job that is there, or as a number that has been given.
    const bool is_there = StateOf(segment.jobs[0].state) != JobState::kFree;
    if (!is_there && segment.header->next_id == next_id) {
      ASSERT_THAT(queue_->Publish("b"), IsOk());
    }
    ASSERT_EQ(receiver.Wait(), 1);
  }
}

TEST_F(JobQueueBlockingTest, MoreHoldersThanOneSleeperCanWatch) {
  constexpr int kHolders = 200;
  Gate gate;
  std::vector<TestChild> holders;
  for (int i = 0; i < kHolders; ++i) {
    ASSERT_THAT(queue_->Publish("a"), IsOk());
    holders.push_back(Holder(gate));
  }
  for (int i = 0; i < kHolders; ++i) ASSERT_TRUE(gate.Pass());
  // Any operation finds all the dead.
  for (int i = 0; i < kHolders / 2; ++i) holders[i].KillAndWait();
  EXPECT_EQ(queue_->Stats()->ready, size_t{kHolders / 2});
  for (int i = 0; i < kHolders / 2; ++i) EXPECT_THAT(queue_->Receive()->Ack(), IsOk());
  // 100 more can be watched by one.
  std::array<TestChild, 2> receivers = {Receiver(), Receiver()};
  AwaitSleepingReceivers(*queue_, 2);
  for (const TestChild& receiver : receivers) ASSERT_TRUE(AwaitState(receiver.pid(), 'S'));
  holders[kHolders / 2].KillAndWait();
  holders[kHolders - 1].KillAndWait();
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), 2);
}

TEST_F(JobQueueBlockingTest, WhatNobodyWatchedComesBackWithTheNextOperation) {
  constexpr int kHolders = 200;
  Gate gate;
  std::vector<TestChild> holders;
  for (int i = 0; i < kHolders; ++i) {
    ASSERT_THAT(queue_->Publish("a"), IsOk());
    holders.push_back(Holder(gate));
  }
  for (int i = 0; i < kHolders; ++i) ASSERT_TRUE(gate.Pass());
  std::vector<TestChild> receivers;
  for (int i = 0; i < 20; ++i) receivers.push_back(Receiver());
  AwaitSleepingReceivers(*queue_, 20);
  for (int i = 0; i < kHolders; i += 10) holders[i].KillAndWait();
  EXPECT_THAT(queue_->Stats(), IsOk());
  for (TestChild& receiver : receivers) EXPECT_EQ(receiver.Wait(), 2);
}

TEST_F(JobQueueBlockingTest, TheLastOfManySleepersGetsWhatTheDeadHad) {
  Gate gate;
  for (int round = 0; round < 30; ++round) {
    std::vector<TestChild> doomed;
    for (int i = 0; i < 9; ++i) doomed.push_back(Holder(gate));
    AwaitSleepingReceivers(*queue_, 9);
    TestChild last = Receiver();
    AwaitAsleep(last, 10);
    for (int i = 0; i < 5; ++i) ASSERT_THAT(queue_->Publish("a"), IsOk());
    for (const TestChild& child : doomed) child.Kill();
    for (TestChild& child : doomed) child.Wait();
    EXPECT_GT(last.Wait(), 0);
    for (int i = 0; i < 4; ++i) ASSERT_THAT(queue_->Receive()->Ack(), IsOk());
  }
  EXPECT_EQ(queue_->Stats()->acked, 150u);
}

}  // namespace
}  // namespace ko
