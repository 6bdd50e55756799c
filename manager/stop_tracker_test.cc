#include "ko/manager/stop_tracker.h"

#include <gtest/gtest.h>

#include <csignal>
#include <limits>
#include <utility>
#include <vector>

#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::StatusIs;
using Sent = std::vector<std::pair<int, absl::Duration>>;  // signal, when

constexpr absl::Duration kStart = absl::Seconds(100);

// Each action, when the wait of the one before is over.
Sent PlayToTheEnd(StopTracker& tracker, StopTracker::Action action, absl::Duration now) {
  Sent sent;
  for (;;) {
    sent.emplace_back(action.signal, now - kStart);
    if (action.next_at == absl::InfiniteDuration()) return sent;
    EXPECT_GT(action.next_at, now);
    now = action.next_at;
    action = tracker.Next(now);
  }
}

Sent Play(const StopPlan& plan) {
  StopTracker tracker;
  return PlayToTheEnd(tracker, tracker.Begin(plan, kStart), kStart);
}

TEST(StopTrackerTest, DefaultIsSigtermThenSigkillAfterTenSeconds) {
  EXPECT_EQ(Play({}), (Sent{{SIGTERM, absl::ZeroDuration()}, {SIGKILL, absl::Seconds(10)}}));
}

TEST(StopTrackerTest, StepsFollowOneAnother) {
  EXPECT_EQ(
      Play({.steps = {{SIGQUIT, absl::Seconds(3)}, {SIGINT, absl::Seconds(2)}, {SIGTERM, absl::Seconds(1)}}}),
      (Sent{{SIGQUIT, absl::ZeroDuration()},
            {SIGINT, absl::Seconds(3)},
            {SIGTERM, absl::Seconds(5)},
            {SIGKILL, absl::Seconds(6)}}));
}

TEST(StopTrackerTest, NoStepsAreSigkillAtOnce) {
  EXPECT_EQ(Play({.steps = {}}), (Sent{{SIGKILL, absl::ZeroDuration()}}));
}

TEST(StopTrackerTest, StepWithoutTimeIsLeftOut) {
  EXPECT_EQ(Play({.steps = {{SIGTERM, absl::ZeroDuration()}}}), (Sent{{SIGKILL, absl::ZeroDuration()}}));
  EXPECT_EQ(Play({.steps = {{SIGTERM, -absl::Seconds(1)}, {SIGINT, absl::Seconds(1)}}}),
            (Sent{{SIGINT, absl::ZeroDuration()}, {SIGKILL, absl::Seconds(1)}}));
}

TEST(StopTrackerTest, SecondPlanWithLessTimeMakesHaste) {
  StopTracker tracker;
  tracker.Begin({}, kStart);
  EXPECT_TRUE(tracker.active());
  const absl::Duration later = kStart + absl::Seconds(1);
  EXPECT_EQ(PlayToTheEnd(tracker, tracker.Begin({.steps = {{SIGINT, absl::Seconds(2)}}}, later), later),
            (Sent{{SIGINT, absl::Seconds(1)}, {SIGKILL, absl::Seconds(3)}}));
}

TEST(StopTrackerTest, SecondPlanWithMoreTimeKeepsTheFirstOnesEnd) {
  StopTracker tracker;
  tracker.Begin({.steps = {{SIGTERM, absl::Seconds(2)}}}, kStart);
  const absl::Duration later = kStart + absl::Seconds(1);
  EXPECT_EQ(PlayToTheEnd(tracker, tracker.Begin({.steps = {{SIGINT, absl::Hours(1)}}}, later), later),
            (Sent{{SIGINT, absl::Seconds(1)}, {SIGKILL, absl::Seconds(2)}}));
}

TEST(StopTrackerTest, PlanAfterTheEndIsSigkill) {
  StopTracker tracker;
  tracker.Begin({.steps = {}}, kStart);
  const absl::Duration later = kStart + absl::Seconds(1);
  EXPECT_EQ(PlayToTheEnd(tracker, tracker.Begin({}, later), later), (Sent{{SIGKILL, absl::Seconds(1)}}));
}

TEST(StopPlanTest, WhatMakesNoSenseIsInvalid) {
  EXPECT_THAT(StopPlan().Validate(), IsOk());
  EXPECT_THAT(StopPlan{.steps = {}}.Validate(), IsOk());
  for (const int signal : {0, -1, SIGRTMAX + 1, std::numeric_limits<int>::max()}) {
    EXPECT_THAT((StopPlan{.steps = {{signal, absl::Seconds(1)}}}.Validate()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT((StopPlan{.steps = {{SIGTERM, absl::InfiniteDuration()}}}.Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ko
