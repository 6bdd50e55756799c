#include <gtest/gtest.h>

#include <csignal>
#include <optional>
#include <vector>

#include "ko/manager/liveness.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr absl::Duration kSecond = absl::Seconds(1);
constexpr absl::Duration kNever = absl::InfiniteDuration();

struct Case {
  const char* what;
  LivenessPolicy policy;
  LivenessView view;
  absl::Duration now;
  Missed missed;
  absl::Duration check_at;
};

LivenessPolicy Start(int seconds) { return {.start_deadline = seconds * kSecond}; }
LivenessPolicy Heartbeat(int seconds) { return {.heartbeat_deadline = seconds * kSecond}; }
LivenessPolicy Task(int seconds) { return {.task_deadline = seconds * kSecond}; }

// All began at 10 s.
LivenessView Starting() { return {.started_at = 10 * kSecond, .awaits_ready = true}; }
LivenessView Ready(int at) {
  return {.started_at = 10 * kSecond, .awaits_ready = true, .ready_at = at * kSecond};
}
LivenessView Simple() { return {.started_at = 10 * kSecond}; }
LivenessView Beating(LivenessView view, int at) {
  view.last_heartbeat = at * kSecond;
  return view;
}
LivenessView Working(LivenessView view, int since) {
  view.task_began = since * kSecond;
  return view;
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"nothing is asked", {}, Simple(), 1000 * kSecond, Missed::kNone, kNever},
      {"start, in time", Start(5), Starting(), 14 * kSecond, Missed::kNone, 15 * kSecond},
      {"start, at the deadline", Start(5), Starting(), 15 * kSecond, Missed::kStart, kNever},
      {"start, ready", Start(5), Ready(14), 100 * kSecond, Missed::kNone, kNever},
      {"heartbeat, none is due while it starts", Heartbeat(2), Starting(), 100 * kSecond, Missed::kNone,
       kNever},
      {"heartbeat, counts from ready", Heartbeat(2), Ready(14), 15 * kSecond, Missed::kNone, 16 * kSecond},
      {"heartbeat, none since ready", Heartbeat(2), Ready(14), 16 * kSecond, Missed::kHeartbeat, kNever},
      {"heartbeat, one before ready does not count", Heartbeat(2), Beating(Ready(14), 11), 15 * kSecond,
       Missed::kNone, 16 * kSecond},
      {"heartbeat, counts from the start where ready is not told", Heartbeat(2), Simple(), 11 * kSecond,
       Missed::kNone, 12 * kSecond},
      {"heartbeat, a late one is missed", Heartbeat(2), Simple(), 12 * kSecond, Missed::kHeartbeat, kNever},
      {"heartbeat, the last one counts", Heartbeat(2), Beating(Simple(), 50), 51 * kSecond, Missed::kNone,
       52 * kSecond},
      {"heartbeat, one from the future is one", Heartbeat(2), Beating(Simple(), 90), 51 * kSecond,
       Missed::kNone, 92 * kSecond},
      {"task, none: the next cannot be late before", Task(3), Simple(), 20 * kSecond, Missed::kNone,
       23 * kSecond},
      {"task, in time", Task(3), Working(Simple(), 18), 20 * kSecond, Missed::kNone, 21 * kSecond},
      {"task, too long", Task(3), Working(Simple(), 18), 21 * kSecond, Missed::kTask, kNever},
      {"task, also while it starts", Task(3), Working(Starting(), 18), 21 * kSecond, Missed::kTask, kNever},
      {"all, the earliest is next",
       {.start_deadline = 5 * kSecond, .heartbeat_deadline = 9 * kSecond, .task_deadline = 7 * kSecond},
       Working(Ready(14), 15),
       20 * kSecond,
       Missed::kNone,
       22 * kSecond},
  };
  return cases;
}

TEST(LivenessPolicyTest, Matrix) {
  for (const Case& each : Cases()) {
    SCOPED_TRACE(each.what);
    const LivenessVerdict verdict = CheckLiveness(each.policy, each.view, each.now);
    EXPECT_EQ(verdict.missed, each.missed);
    EXPECT_EQ(verdict.check_at, each.check_at);
  }
}

TEST(LivenessPolicyTest, ChecksAtTheTimesThatItNamesFindALateTaskAtItsDeadline) {
  for (int began = 0; began < 40; ++began) {
    LivenessView view = Simple();
    absl::Duration now = 10 * kSecond;
    for (;;) {
      if (now >= (10 + began) * kSecond) view.task_began = (10 + began) * kSecond;
      const LivenessVerdict verdict = CheckLiveness(Task(7), view, now);
      if (verdict.missed == Missed::kTask) break;
      ASSERT_GT(verdict.check_at, now);
      now = verdict.check_at;
    }
    EXPECT_EQ(now, (10 + began + 7) * kSecond);
  }
}

TEST(LivenessPolicyTest, WhatMakesNoSenseIsInvalid) {
  EXPECT_THAT(LivenessPolicy().Validate(), IsOk());
  for (const LivenessPolicy& policy :
       {Start(0), Start(-1), Heartbeat(0), Task(0), LivenessPolicy{.hung_signal = 0},
        LivenessPolicy{.hung_signal = SIGRTMAX + 1}, LivenessPolicy{.hung_grace = -kSecond},
        LivenessPolicy{.hung_grace = kNever}}) {
    EXPECT_THAT(policy.Validate(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(LivenessPolicyTest, IsAnythingWhereADeadlineIsSet) {
  EXPECT_FALSE(LivenessPolicy().IsAnything());
  EXPECT_TRUE(Start(1).IsAnything());
  EXPECT_TRUE(Heartbeat(1).IsAnything());
  EXPECT_TRUE(Task(1).IsAnything());
}

}  // namespace
}  // namespace ko
