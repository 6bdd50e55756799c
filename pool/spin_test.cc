#include "ko/pool/spin.h"

#include <gtest/gtest.h>

namespace ko::pool {
namespace {

// How many looks are left out before the next one.
int LeftOut(SpinHabit& habit) {
  int count = 0;
  while (!habit.Pays()) ++count;
  return count;
}

TEST(SpinHabitTest, LooksAtFirst) {
  SpinHabit habit;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(LeftOut(habit), 0);
}

TEST(SpinHabitTest, OneInVainCostsNothingAndEachFurtherOneTwiceAsMuch) {
  SpinHabit habit;
  for (const int expected : {0, 1, 3, 7, 15}) {
    habit.Learn(false);
    EXPECT_EQ(LeftOut(habit), expected);
  }
}

TEST(SpinHabitTest, LooksAgainNowAndThenForEver) {
  SpinHabit habit;
  for (int i = 0; i < 100; ++i) habit.Learn(false);
  EXPECT_EQ(LeftOut(habit), 1023);
  habit.Learn(false);
  EXPECT_EQ(LeftOut(habit), 1023);
}

TEST(SpinHabitTest, WhatWasFoundMakesUpForAllBefore) {
  SpinHabit habit;
  for (int i = 0; i < 100; ++i) habit.Learn(false);
  habit.Learn(true);
  EXPECT_EQ(LeftOut(habit), 0);
  habit.Learn(false);
  EXPECT_EQ(LeftOut(habit), 0);
}

}  // namespace
}  // namespace ko::pool
