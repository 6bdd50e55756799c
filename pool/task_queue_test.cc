#include "ko/pool/task_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "ko/pool/pool_segment.h"
#include "ko/pool/task_state.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::pool {
namespace {

using testing::IsOk;

class TaskQueueTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<std::shared_ptr<PoolSegment>> segment =
        PoolSegment::Create({.workers = 2, .tasks = 4, .message_bytes = 64});
    ASSERT_THAT(segment, IsOk());
    segment_ = *std::move(segment);
    queue_.emplace(segment_);
  }
  void TearDown() override {
    queue_.reset();
    segment_.reset();
    LeakCheckedTest::TearDown();
  }
  TaskQueue::Pushed Pushed(uint32_t task) {
    segment_->task(task).state.store(TaskState(0).With(TaskPhase::kQueued).Listed().word());
    return queue_->Push(task);
  }
  bool Push(uint32_t task) { return Pushed(task) != TaskQueue::Pushed::kOverwritten; }

  std::shared_ptr<PoolSegment> segment_;
  std::optional<TaskQueue> queue_;
};

TEST_F(TaskQueueTest, TasksComeInTheirOrder) {
  for (int round = 0; round < 100; ++round) {
    for (const uint32_t task : {2u, 0u, 3u}) ASSERT_TRUE(Push(task));
    EXPECT_EQ(queue_->size(), 3u);
    for (const uint32_t task : {2u, 0u, 3u}) EXPECT_EQ(queue_->Pop(0), task);
    EXPECT_EQ(queue_->Pop(0), std::nullopt);
    EXPECT_TRUE(queue_->Empty());
  }
}

TEST_F(TaskQueueTest, CancelledOneIsSteppedOver) {
  ASSERT_TRUE(Push(1));
  ASSERT_TRUE(Push(2));
  segment_->task(1).state.store(TaskState(0).With(TaskPhase::kDone).Listed().word());
  EXPECT_EQ(queue_->Pop(0), 2u);
  EXPECT_FALSE(TaskState(segment_->task(1).state.load()).listed());
}

// As where the pusher was stopped, or has died, between its two steps.
TEST_F(TaskQueueTest, TailThatWasNotMovedOnIsMovedByTheNextPush) {
  for (const bool taken : {false, true}) {
    ASSERT_TRUE(Push(0));
    --segment_->header().tail;
    if (taken) {
      EXPECT_EQ(queue_->Pop(0), 0u);
    }
    EXPECT_EQ(queue_->size(), 0u);
    ASSERT_TRUE(Push(1));
    if (!taken) {
      EXPECT_EQ(queue_->Pop(0), 0u);
    }
    EXPECT_EQ(queue_->Pop(0), 1u);
    EXPECT_EQ(queue_->Pop(0), std::nullopt);
  }
}

TEST_F(TaskQueueTest, PushTellsWhetherAWorkerLooks) {
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kOurs);
    EXPECT_EQ(queue_->Look(1), TaskQueue::Front::kOthers);
    EXPECT_EQ(Pushed(0), TaskQueue::Pushed::kSeen);
    EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kTask);
    EXPECT_EQ(Pushed(1), TaskQueue::Pushed::kUnseen);
    EXPECT_EQ(queue_->Pop(0), 0u);
    EXPECT_EQ(queue_->Pop(0), 1u);
  }
}

TEST_F(TaskQueueTest, WhoStopsLookingIsSeenNoMore) {
  EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kOurs);
  EXPECT_TRUE(queue_->StopLooking(1));
  EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kOurs);
  EXPECT_TRUE(queue_->StopLooking(0));
  EXPECT_EQ(Pushed(0), TaskQueue::Pushed::kUnseen);
}

TEST_F(TaskQueueTest, ATaskThatCameMeanwhileIsToldToWhoStopsLooking) {
  EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kOurs);
  EXPECT_EQ(Pushed(3), TaskQueue::Pushed::kSeen);
  EXPECT_FALSE(queue_->StopLooking(0));
  EXPECT_EQ(queue_->Pop(0), 3u);
}

TEST_F(TaskQueueTest, TheDeadAreSeenNoMore) {
  EXPECT_EQ(queue_->Look(0), TaskQueue::Front::kOurs);
  queue_->Bury(1);
  EXPECT_EQ(queue_->Look(1), TaskQueue::Front::kOthers);
  queue_->Bury(0);
  EXPECT_EQ(Pushed(2), TaskQueue::Pushed::kUnseen);
  EXPECT_EQ(queue_->Pop(1), 2u);
}

TEST_F(TaskQueueTest, OverwrittenEndsAreNoEndlessLoop) {
  segment_->header().tail = 1'000'000;
  EXPECT_FALSE(Push(0));
  EXPECT_EQ(queue_->Pop(0), std::nullopt);
}

}  // namespace
}  // namespace ko::pool
