#include "ko/os/spin_habit.h"

#include <gtest/gtest.h>

namespace ko::os {
namespace {

int SleepsBeforeTheNextLook(SpinHabit& habit) {
  int sleeps = 0;
  while (!habit.WantsToSpin()) ++sleeps;
  return sleeps;
}

TEST(SpinHabitTest, ANewOneLooks) { EXPECT_TRUE(SpinHabit().WantsToSpin()); }

TEST(SpinHabitTest, SoonAnswersKeepItLooking) {
  SpinHabit habit;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(habit.WantsToSpin());
    habit.Found(SpinHabit::kHot);
    EXPECT_TRUE(habit.is_hot());
  }
}

TEST(SpinHabitTest, EachLookInVainDoublesTheSleepsUpToALimit) {
  SpinHabit habit;
  for (int expected = 1; expected <= SpinHabit::kMostSkipped; expected *= 2) {
    habit.FoundNothing();
    EXPECT_EQ(SleepsBeforeTheNextLook(habit), expected);
  }
  habit.FoundNothing();
  EXPECT_EQ(SleepsBeforeTheNextLook(habit), SpinHabit::kMostSkipped);
}

TEST(SpinHabitTest, ASoonAnswerMakesItForgetWhatWasInVain) {
  SpinHabit habit;
  for (int i = 0; i < 20; ++i) habit.FoundNothing();
  SleepsBeforeTheNextLook(habit);
  habit.Found(absl::ZeroDuration());
  EXPECT_TRUE(habit.WantsToSpin());
  habit.FoundNothing();
  EXPECT_FALSE(habit.is_hot());
  EXPECT_EQ(SleepsBeforeTheNextLook(habit), 1);
}

TEST(SpinHabitTest, LateAnswersAreWaitedForAWhile) {
  SpinHabit habit;
  for (int i = 1; i < SpinHabit::kColdAnswers; ++i) {
    habit.Found(SpinHabit::kLongest);
    EXPECT_FALSE(habit.is_hot());
    EXPECT_TRUE(habit.WantsToSpin());
  }
  habit.Found(SpinHabit::kLongest);
  EXPECT_FALSE(habit.WantsToSpin());
}

}  // namespace
}  // namespace ko::os
