#include "ko/ipc/ownership_habit.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace ko {
namespace {

constexpr uint64_t kFewest = OwnershipHabit::kFewestSteps;

// From `position` on, how many steps in a row it takes until the side is wanted.
uint64_t StepsUntilWanted(OwnershipHabit& habit, uint64_t position) {
  uint64_t steps = 1;
  while (!habit.WantsToOwn(position++)) ++steps;
  return steps;
}

TEST(OwnershipHabitTest, StepsInARowMakeAnOwner) {
  OwnershipHabit habit;
  EXPECT_EQ(StepsUntilWanted(habit, 1000), kFewest);
}

TEST(OwnershipHabitTest, StepsOfOthersBetweenThemDoNot) {
  OwnershipHabit habit;
  for (uint64_t position = 0; position < 10 * kFewest; position += 2) {
    ASSERT_FALSE(habit.WantsToOwn(position));
  }
}

TEST(OwnershipHabitTest, WhoLosesItSoonWaitsForTwiceAsMany) {
  OwnershipHabit habit;
  uint64_t position = 0;
  for (uint64_t wanted = kFewest; wanted <= OwnershipHabit::kMostSteps; wanted *= 2) {
    ASSERT_EQ(StepsUntilWanted(habit, position), wanted);
    position += wanted + 10;
    habit.Lost(position);
  }
  EXPECT_EQ(StepsUntilWanted(habit, position), OwnershipHabit::kMostSteps);
}

TEST(OwnershipHabitTest, WhoHadItForLongMayHaveItSoonAgain) {
  OwnershipHabit habit;
  uint64_t position = StepsUntilWanted(habit, 0);
  habit.Lost(++position);
  position += StepsUntilWanted(habit, position) + OwnershipHabit::kWorth * 2 * kFewest;
  habit.Lost(position);
  EXPECT_EQ(StepsUntilWanted(habit, position), kFewest);
}

TEST(OwnershipHabitTest, WhoWakesOthersAtEachStepDoesNotWantIt) {
  OwnershipHabit habit;
  for (uint64_t position = 0; position < 10 * kFewest; ++position) {
    habit.Rang(position);
    ASSERT_FALSE(habit.WantsToOwn(position)) << position;
  }
}

TEST(OwnershipHabitTest, WakingNowAndThenIsAllRight) {
  OwnershipHabit habit;
  for (uint64_t position = 1000; position < 100'000; position += OwnershipHabit::kStepsForOneWaking) {
    ASSERT_TRUE(habit.Rang(position)) << position;
  }
  // Some at once are, too, and then no more.
  uint64_t position = 200'000;
  int at_once = 0;
  while (habit.Rang(position++)) ++at_once;
  EXPECT_EQ(at_once, 8);
}

}  // namespace
}  // namespace ko
