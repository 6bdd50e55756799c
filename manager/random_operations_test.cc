#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <random>
#include <vector>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Whatever a program may ask of a manager, in any order: nothing is left, and nothing waits for ever.

namespace ko {
namespace {

using testing::IsOk;

class RandomOperationsTest : public testing::LeakCheckedTest, public ::testing::WithParamInterface<int> {};

TEST_P(RandomOperationsTest, EndInAShutdownThatLeavesNothing) {
  std::mt19937 random(GetParam());
  const auto draw = [&](int count) { return static_cast<int>(random() % count); };
  ProcessManager manager;
  RestartPolicy policy{.when = RestartPolicy::When::kAlways,
                       .initial_delay = absl::Milliseconds(draw(2)),
                       .max_restarts = RestartPolicy::kUnlimited,
                       .hot_spare = draw(2) == 0};
  const ProcessOptions options{.ready = ReadyWhen::kNotified,
                               .stop = StopPlan{.target = static_cast<StopTarget>(draw(3))}};
  const auto body = [](Self& self) {
    if (self.attempt() % 5 == 4) return 3;
    return ServeUntilShutdown(self);
  };
  WorkerPool pool = manager.SpawnPool(2, body, policy, options);
  ko::Group group = manager.Group(static_cast<Strategy>(draw(3)));
  std::vector<Process> members;
  for (int i = 0; i < 3; ++i) members.push_back(group.Spawn(body, policy, options));
  std::vector<Process> singles;
  int begun = 0;
  int outcomes = 0;
  pool.OnRollOut([&](const RollOut& outcome) {
    ++outcomes;
    if (draw(4) == 0) pool.Resize(outcome.slots).IgnoreError();
  });
  manager.OnEvent([](const ProcessEvent& event) { EXPECT_FALSE(event.ToString().empty()); });

  const auto any = [&](const std::vector<Process>& from) {
    return from.empty() ? Process() : from[static_cast<size_t>(draw(static_cast<int>(from.size())))];
  };
  for (int step = 0; step < 60; ++step) {
    switch (draw(9)) {
      case 0:
        singles.push_back(manager.Spawn(body, policy, options));
        break;
      case 1:
        any(singles).Kill(draw(2) == 0 ? SIGKILL : SIGTERM).IgnoreError();
        break;
      case 2:
        any(members).Kill(SIGKILL).IgnoreError();
        break;
      case 3:
        pool.Resize(draw(5)).IgnoreError();
        break;
      case 4:
        if (pool.BeginRollingRestart({.observe = absl::Milliseconds(draw(3))}).ok()) ++begun;
        break;
      case 5:
        pool.worker(draw(4)).Kill(SIGKILL).IgnoreError();
        break;
      case 6:
        any(singles).Stop({.grace = absl::Milliseconds(draw(20))}).IgnoreError();
        break;
      case 7:
        pool.worker(draw(4)).Stop().IgnoreError();
        break;
      default:
        ASSERT_THAT(manager.Dispatch(absl::Milliseconds(draw(5))), IsOk());
        break;
    }
  }
  if (draw(3) == 0) return;  // the destructor's turn
  if (draw(2) == 0) {
    EXPECT_THAT(pool.Stop(), IsOk());
  }
  EXPECT_THAT(manager.Shutdown({.grace = absl::Milliseconds(draw(50))}), IsOk());
  EXPECT_EQ(manager.size(), 0u);
  EXPECT_EQ(outcomes, begun);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomOperationsTest, ::testing::Range(0, 20));

}  // namespace
}  // namespace ko
