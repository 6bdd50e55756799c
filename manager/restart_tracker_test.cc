#include "ko/manager/restart_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "ko/process/exit_status.h"

namespace ko {
namespace {

using ::testing::Combine;
using ::testing::ElementsAre;
using ::testing::Values;

using Action = RestartTracker::Action;
using When = RestartPolicy::When;

constexpr double kNoJitter = 0.5;  // the middle of the range that is drawn from

// --- Policy x end x count: a process that ends in the same way each time, at once ---

struct End {
  const char* name;
  ExitStatus status;
};

std::ostream& operator<<(std::ostream& os, const End& end) { return os << end.name; }

struct Rule {
  const char* name;
  When when;
  bool Wants(const ExitStatus& status) const {
    return when == When::kAlways || (when == When::kOnFailure && !status.ok()) ||
           (when == When::kOnAbnormalEnd && !status.exit_code().has_value());
  }
};

std::ostream& operator<<(std::ostream& os, const Rule& rule) { return os << rule.name; }

class RestartMatrix : public ::testing::TestWithParam<std::tuple<Rule, End, int>> {};

TEST_P(RestartMatrix, RestartsAsOftenAsThePolicySaysAndThenGivesUp) {
  const auto& [rule, end, max_restarts] = GetParam();
  RestartTracker tracker({.when = rule.when, .max_restarts = max_restarts, .window = absl::Minutes(1)});
  for (int i = 0; i < 15; ++i) {
    const Action expected = !rule.Wants(end.status) ? Action::kStayDown
                            : i < max_restarts      ? Action::kRestart
                                                    : Action::kGiveUp;
    const Action action =
        tracker.OnEnd(end.status, absl::ZeroDuration(), absl::Milliseconds(i), kNoJitter).action;
    EXPECT_EQ(action, expected) << "at end number " << i + 1;
  }
}

std::string NameOfCell(const ::testing::TestParamInfo<RestartMatrix::ParamType>& info) {
  const auto& [rule, end, max_restarts] = info.param;
  return std::string(rule.name) + end.name + "Max" +
         (max_restarts == RestartPolicy::kUnlimited ? "Unlimited" : std::to_string(max_restarts));
}

INSTANTIATE_TEST_SUITE_P(
    PolicyEndLimit, RestartMatrix,
    Combine(Values(Rule{"Never", When::kNever}, Rule{"OnFailure", When::kOnFailure},
                   Rule{"Always", When::kAlways}, Rule{"OnAbnormalEnd", When::kOnAbnormalEnd}),
            Values(End{"Zero", ExitStatus::Exited(0)}, End{"One", ExitStatus::Exited(1)},
                   End{"Code255", ExitStatus::Exited(-1)}, End{"Kill", ExitStatus::Signaled(SIGKILL)},
                   End{"Term", ExitStatus::Signaled(SIGTERM)},
                   End{"Core", ExitStatus::Signaled(SIGSEGV, /*core_dumped=*/true)},
                   End{"NotStarted", ExitStatus::NotStarted(EAGAIN, "fork")},
                   End{"Unknown", ExitStatus::Unknown()}),
            Values(0, 1, 10, RestartPolicy::kUnlimited)),
    NameOfCell);

// --- Delays ---

// The delays after `count` ends that came at once.
std::vector<absl::Duration> Delays(RestartTracker& tracker, int count, double random = kNoJitter,
                                   absl::Duration run_time = absl::ZeroDuration()) {
  std::vector<absl::Duration> delays;
  for (int i = 0; i < count; ++i) {
    const RestartTracker::Decision decision =
        tracker.OnEnd(ExitStatus::Exited(1), run_time, absl::ZeroDuration(), random);
    EXPECT_EQ(decision.action, Action::kRestart);
    delays.push_back(decision.delay);
  }
  return delays;
}

constexpr absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

TEST(RestartDelay, GrowsByTheFactorUpToTheMaximum) {
  RestartTracker tracker({.initial_delay = Ms(100), .delay_factor = 3, .max_delay = Ms(1000)});
  EXPECT_THAT(Delays(tracker, 5), ElementsAre(Ms(100), Ms(300), Ms(900), Ms(1000), Ms(1000)));
}

TEST(RestartDelay, FactorOfOneStaysTheSame) {
  RestartTracker tracker({.initial_delay = Ms(20), .delay_factor = 1});
  EXPECT_THAT(Delays(tracker, 3), ElementsAre(Ms(20), Ms(20), Ms(20)));
}

TEST(RestartDelay, FactorWithoutBoundReachesTheMaximumAtOnce) {
  RestartTracker tracker(
      {.initial_delay = Ms(1), .delay_factor = std::numeric_limits<double>::infinity(), .max_delay = Ms(50)});
  EXPECT_THAT(Delays(tracker, 3), ElementsAre(Ms(1), Ms(50), Ms(50)));
}

TEST(RestartDelay, InitialOfZeroGrowsFromAMillisecond) {
  RestartTracker tracker({.initial_delay = Ms(0), .delay_factor = 2, .max_delay = Ms(5)});
  EXPECT_THAT(Delays(tracker, 5), ElementsAre(Ms(0), Ms(2), Ms(4), Ms(5), Ms(5)));
}

TEST(RestartDelay, MaximumOfZeroStaysZero) {
  RestartTracker tracker({.initial_delay = Ms(0), .max_delay = Ms(0)});
  EXPECT_THAT(Delays(tracker, 3), ElementsAre(Ms(0), Ms(0), Ms(0)));
}

TEST(RestartDelay, EndlessCrashingStaysAtTheMaximum) {
  RestartTracker tracker({.delay_factor = 10, .max_delay = absl::Seconds(5), .max_restarts = 100'000});
  EXPECT_EQ(Delays(tracker, 100'000).back(), absl::Seconds(5));
}

TEST(RestartDelay, LowestDrawTakesTheWholeJitterOff) {
  RestartTracker tracker({.initial_delay = Ms(100), .jitter = 0.25});
  EXPECT_THAT(Delays(tracker, 2, /*random=*/0.0), ElementsAre(Ms(75), Ms(150)));
}

TEST(RestartDelay, HighestDrawAddsAlmostTheWholeJitter) {
  RestartTracker tracker({.initial_delay = Ms(100), .jitter = 0.25});
  const absl::Duration delay = Delays(tracker, 1, /*random=*/std::nextafter(1.0, 0.0))[0];
  EXPECT_GT(delay, Ms(124));
  EXPECT_LE(delay, Ms(125));
}

TEST(RestartDelay, FullJitterIsNeverNegative) {
  RestartTracker tracker({.initial_delay = Ms(100), .jitter = 1});
  EXPECT_THAT(Delays(tracker, 2, /*random=*/0.0), ElementsAre(Ms(0), Ms(0)));
}

TEST(RestartDelay, NoJitterIgnoresTheDraw) {
  RestartTracker low({.initial_delay = Ms(100), .jitter = 0});
  RestartTracker high({.initial_delay = Ms(100), .jitter = 0});
  EXPECT_EQ(Delays(low, 5, /*random=*/0.0), Delays(high, 5, /*random=*/0.999));
}

TEST(RestartDelay, StableRunStartsFromTheInitialDelayAgain) {
  RestartTracker tracker({.initial_delay = Ms(100), .stable_after = absl::Seconds(10)});
  EXPECT_THAT(Delays(tracker, 3), ElementsAre(Ms(100), Ms(200), Ms(400)));
  EXPECT_THAT(Delays(tracker, 1, kNoJitter, absl::Seconds(10)), ElementsAre(Ms(100)));
  EXPECT_THAT(Delays(tracker, 1), ElementsAre(Ms(200))) << "and grows from there";
}

TEST(RestartDelay, RunJustShortOfStableGoesOnGrowing) {
  RestartTracker tracker({.initial_delay = Ms(100), .stable_after = absl::Seconds(10)});
  EXPECT_THAT(Delays(tracker, 3, kNoJitter, absl::Seconds(10) - absl::Nanoseconds(1)),
              ElementsAre(Ms(100), Ms(200), Ms(400)));
}

TEST(RestartDelay, StableAfterInfinityNeverStartsAgain) {
  RestartTracker tracker({.initial_delay = Ms(100), .stable_after = absl::InfiniteDuration()});
  EXPECT_THAT(Delays(tracker, 2, kNoJitter, absl::Hours(10'000)), ElementsAre(Ms(100), Ms(200)));
}

// --- The limit ---

Action EndAt(RestartTracker& tracker, absl::Duration now) {
  return tracker.OnEnd(ExitStatus::Exited(1), absl::ZeroDuration(), now, kNoJitter).action;
}

TEST(RestartLimit, WindowSlides) {
  RestartTracker tracker({.max_restarts = 2, .window = absl::Seconds(10)});
  EXPECT_EQ(EndAt(tracker, absl::Seconds(0)), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Seconds(6)), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Seconds(10)), Action::kRestart) << "the first has left the window";
  EXPECT_EQ(EndAt(tracker, absl::Seconds(15)), Action::kGiveUp) << "the others have not";
}

TEST(RestartLimit, EndJustInsideTheWindowGivesUp) {
  RestartTracker tracker({.max_restarts = 1, .window = absl::Seconds(10)});
  EXPECT_EQ(EndAt(tracker, absl::Seconds(0)), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Seconds(10) - absl::Nanoseconds(1)), Action::kGiveUp);
}

TEST(RestartLimit, InfiniteWindowForgetsNothing) {
  RestartTracker tracker({.max_restarts = 1, .window = absl::InfiniteDuration()});
  EXPECT_EQ(EndAt(tracker, absl::ZeroDuration()), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Hours(1'000'000)), Action::kGiveUp);
}

TEST(RestartLimit, EndsThatAreNotRestartedDoNotCount) {
  RestartTracker tracker({.when = When::kOnFailure, .max_restarts = 1});
  for (int i = 0; i < 5; ++i) {
    tracker.OnEnd(ExitStatus::Exited(0), absl::ZeroDuration(), absl::ZeroDuration(), kNoJitter);
  }
  EXPECT_EQ(EndAt(tracker, absl::ZeroDuration()), Action::kRestart);
}

TEST(RestartLimit, StableRunDoesNotClearIt) {
  RestartTracker tracker(
      {.stable_after = absl::ZeroDuration(), .max_restarts = 1, .window = absl::Minutes(1)});
  EXPECT_EQ(EndAt(tracker, absl::Seconds(1)), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Seconds(2)), Action::kGiveUp);
}

// As the default's comment says.
TEST(RestartLimit, DefaultGivesUpACrashLoopAfterAboutHalfAMinute) {
  RestartTracker tracker{RestartPolicy()};
  absl::Duration now = absl::ZeroDuration();
  for (;;) {
    const RestartTracker::Decision decision =
        tracker.OnEnd(ExitStatus::Exited(1), absl::ZeroDuration(), now, kNoJitter);
    if (decision.action == Action::kGiveUp) break;
    now += decision.delay;
    ASSERT_LT(now, absl::Hours(1));
  }
  EXPECT_GT(now, absl::Seconds(20));
  EXPECT_LT(now, absl::Seconds(40));
}

TEST(RestartLimit, DefaultRestartsWhatLivesForSixSecondsForEver) {
  RestartTracker tracker{RestartPolicy()};
  absl::Duration now = absl::ZeroDuration();
  for (int i = 0; i < 1000; ++i) {
    now += absl::Seconds(6);
    const RestartTracker::Decision decision =
        tracker.OnEnd(ExitStatus::Exited(1), absl::Seconds(6), now, kNoJitter);
    ASSERT_EQ(decision.action, Action::kRestart) << "at end number " << i + 1;
    now += decision.delay;
  }
}

// --- What happens at the limit ---

using AtLimit = RestartPolicy::AtLimit;

TEST(RestartAtLimit, EscalateIsToldInPlaceOfGivingUp) {
  RestartTracker tracker({.max_restarts = 1, .at_limit = AtLimit::kEscalate});
  EXPECT_EQ(EndAt(tracker, absl::Seconds(0)), Action::kRestart);
  EXPECT_EQ(EndAt(tracker, absl::Seconds(1)), Action::kEscalate);
}

TEST(RestartAtLimit, EndThatIsNotRestartedDoesNotEscalate) {
  RestartTracker tracker({.max_restarts = 0, .at_limit = AtLimit::kEscalate});
  EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(0), Ms(0), Ms(0), kNoJitter).action, Action::kStayDown);
}

TEST(RestartAtLimit, HoldRestartsAtTheLargestDelayForEver) {
  RestartTracker tracker({.initial_delay = Ms(1),
                          .max_delay = Ms(900),
                          .max_restarts = 2,
                          .window = absl::InfiniteDuration(),
                          .at_limit = AtLimit::kHold});
  EXPECT_THAT(Delays(tracker, 5), ElementsAre(Ms(1), Ms(2), Ms(900), Ms(900), Ms(900)));
}

TEST(RestartAtLimit, HoldWithNoRestartAllowedStartsAtTheLargestDelay) {
  RestartTracker tracker({.max_delay = Ms(900), .max_restarts = 0, .at_limit = AtLimit::kHold});
  EXPECT_THAT(Delays(tracker, 2), ElementsAre(Ms(900), Ms(900)));
}

TEST(RestartAtLimit, StableRunEndsTheHoldOnceTheWindowIsEmpty) {
  RestartTracker tracker({.initial_delay = Ms(1),
                          .max_delay = Ms(900),
                          .stable_after = absl::Seconds(10),
                          .max_restarts = 1,
                          .window = absl::Seconds(20),
                          .at_limit = AtLimit::kHold});
  const auto delay_at = [&](absl::Duration now, absl::Duration run_time) {
    return tracker.OnEnd(ExitStatus::Exited(1), run_time, now, kNoJitter).delay;
  };
  EXPECT_EQ(delay_at(absl::Seconds(0), Ms(0)), Ms(1));
  EXPECT_EQ(delay_at(absl::Seconds(15), absl::Seconds(15)), Ms(900)) << "the window is full";
  EXPECT_EQ(delay_at(absl::Seconds(30), absl::Seconds(14)), Ms(1));
}

// --- Exit codes that decide ---

TEST(RestartCodes, PreventedCodeStaysDownUnderEachRule) {
  for (const When when : {When::kNever, When::kOnFailure, When::kAlways, When::kOnAbnormalEnd}) {
    RestartTracker tracker({.when = when, .prevent_codes = {0, 78}});
    EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(78), Ms(0), Ms(0), kNoJitter).action, Action::kStayDown);
    EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(0), Ms(0), Ms(0), kNoJitter).action, Action::kStayDown);
  }
}

TEST(RestartCodes, ForcedCodeRestartsUnderEachRule) {
  for (const When when : {When::kNever, When::kOnFailure, When::kAlways, When::kOnAbnormalEnd}) {
    RestartTracker tracker({.when = when, .force_codes = {0, 75}});
    EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(75), Ms(0), Ms(0), kNoJitter).action, Action::kRestart);
    EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(0), Ms(0), Ms(0), kNoJitter).action, Action::kRestart);
  }
}

TEST(RestartCodes, ForcedCodeObeysTheLimit) {
  RestartTracker tracker({.when = When::kNever, .max_restarts = 0, .force_codes = {75}});
  EXPECT_EQ(tracker.OnEnd(ExitStatus::Exited(75), Ms(0), Ms(0), kNoJitter).action, Action::kGiveUp);
}

TEST(RestartCodes, SignalOfTheSameNumberIsNoCode) {
  RestartTracker tracker({.prevent_codes = {SIGKILL}});
  EXPECT_EQ(tracker.OnEnd(ExitStatus::Signaled(SIGKILL), Ms(0), Ms(0), kNoJitter).action, Action::kRestart);
}

// --- What is sure ahead of the end ---

TEST(RestartTrackerTest, IsSureOnlyWhereNoEndCouldLeadToAnythingElse) {
  constexpr absl::Duration kNone = absl::ZeroDuration();
  constexpr absl::Duration kSome = absl::Milliseconds(1);
  const struct {
    RestartPolicy policy;
    bool is_sure;
  } kCases[] = {
      {{.when = When::kAlways, .initial_delay = kNone, .max_delay = kNone}, true},
      {{.when = When::kAlways, .initial_delay = kNone, .max_delay = kSome}, true},  // the first time
      {{.when = When::kAlways, .initial_delay = kNone, .max_delay = kNone, .force_codes = {7}}, true},
      {{.when = When::kAlways, .initial_delay = kSome, .max_delay = kSome}, false},
      {{.when = When::kAlways, .initial_delay = kNone, .max_delay = kNone, .prevent_codes = {7}}, false},
      {{.when = When::kAlways, .initial_delay = kNone, .max_delay = kNone, .max_restarts = 0}, false},
      {{.when = When::kOnFailure, .initial_delay = kNone, .max_delay = kNone}, false},
      {{.when = When::kOnAbnormalEnd, .initial_delay = kNone, .max_delay = kNone}, false},
      {{.when = When::kNever, .initial_delay = kNone, .max_delay = kNone}, false},
  };
  for (const auto& each : kCases) {
    EXPECT_EQ(RestartTracker(each.policy).IsSureToRestartAtOnce(kNone), each.is_sure) << &each - kCases;
  }
}

TEST(RestartTrackerTest, WhatIsSureHappensAndWhatIsNotSureDoesWithTheWindow) {
  RestartTracker tracker({.when = When::kAlways,
                          .initial_delay = absl::ZeroDuration(),
                          .max_delay = absl::ZeroDuration(),
                          .max_restarts = 3,
                          .window = absl::Seconds(10)});
  int restarts = 0;
  for (int second = 0; second < 100; ++second) {
    const absl::Duration now = absl::Seconds(second);
    const bool is_sure = tracker.IsSureToRestartAtOnce(now);
    const RestartTracker::Decision decision =
        tracker.OnEnd(ExitStatus::Exited(0), absl::ZeroDuration(), now, kNoJitter);
    EXPECT_EQ(decision.action == Action::kRestart && decision.delay == absl::ZeroDuration(), is_sure)
        << second;
    if (is_sure) ++restarts;
  }
  EXPECT_EQ(restarts, 30);
}

}  // namespace
}  // namespace ko
