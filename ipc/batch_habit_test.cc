#include "ko/ipc/batch_habit.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace ko {
namespace {

TEST(BatchHabitTest, AStreamIsWaitedForInBatches) {
  BatchHabit habit;
  uint64_t position = 0;
  uint64_t wanted = habit.Wait(position);
  for (int wait = 0; wait < 10; ++wait) {
    position += wanted + 1;
    const uint64_t more = habit.Wait(position);
    EXPECT_EQ(more, wanted < BatchHabit::kMost ? 2 * wanted : wanted);
    wanted = more;
  }
  EXPECT_EQ(wanted, BatchHabit::kMost);
}

TEST(BatchHabitTest, AnswersAreWaitedForOneByOne) {
  BatchHabit habit;
  habit.Wait(0);
  for (uint64_t position = 1; position < 100; ++position) EXPECT_EQ(habit.Wait(position), 1u);
}

TEST(BatchHabitTest, AStreamThatEndsIsForgotten) {
  BatchHabit habit;
  uint64_t position = 0;
  for (int wait = 0; wait < 10; ++wait) habit.Wait(position += 100);
  for (int wait = 0; wait < 10; ++wait) habit.Wait(++position);
  EXPECT_EQ(habit.Wait(++position), 1u);
}

}  // namespace
}  // namespace ko
