#include "ko/pool/task_state.h"

#include <gtest/gtest.h>

namespace ko::pool {
namespace {

constexpr TaskPhase kPhases[] = {TaskPhase::kFree,      TaskPhase::kQueued,  TaskPhase::kRunning,
                                 TaskPhase::kCancelled, TaskPhase::kOverdue, TaskPhase::kDone};

TEST(TaskStateTest, ZeroedMemoryIsAFreeTask) {
  const TaskState state(0);
  EXPECT_EQ(state.phase(), TaskPhase::kFree);
  EXPECT_FALSE(state.awaited());
  EXPECT_FALSE(state.listed());
}

TEST(TaskStateTest, PartsDoNotTouchOneAnother) {
  for (const TaskPhase phase : kPhases) {
    for (const uint32_t worker : {0u, 1u, TaskState::kMaxWorkers - 1}) {
      TaskState state = TaskState(~uint32_t{0}).With(phase).WithWorker(worker).NotAwaited().NotListed();
      for (int i = 0; i < 3; ++i, state = state.Next()) {
        EXPECT_EQ(state.phase(), phase);
        EXPECT_EQ(state.worker(), worker);
        EXPECT_FALSE(state.awaited());
        EXPECT_FALSE(state.listed());
        EXPECT_TRUE(state.Awaited().awaited());
        EXPECT_FALSE(state.Awaited().listed());
        EXPECT_TRUE(state.Listed().listed());
        EXPECT_EQ(state.Listed().Awaited().NotListed().NotAwaited(), state);
      }
    }
  }
}

TEST(TaskStateTest, TheNextOneDiffersInNothingButItsNumber) {
  const TaskState state = TaskState(0).With(TaskPhase::kRunning).WithWorker(5);
  EXPECT_NE(state.Next(), state);
  EXPECT_EQ(state.Next().phase(), state.phase());
  EXPECT_EQ(state.Next().worker(), 5u);
}

TEST(TaskStateTest, OnlyTakenTasksHaveAWorker) {
  for (const TaskPhase phase : kPhases) {
    EXPECT_EQ(TaskState(0).With(phase).HasWorker(),
              phase == TaskPhase::kRunning || phase == TaskPhase::kCancelled || phase == TaskPhase::kOverdue);
  }
}

}  // namespace
}  // namespace ko::pool
