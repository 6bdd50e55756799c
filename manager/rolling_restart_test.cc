#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_policies.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Workers that are replaced one after the other, by RollingRestart.

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class RollingRestartTest : public testing::LeakCheckedTest {};

constexpr RollOutOptions kNoObservation = {.observe = absl::ZeroDuration()};

std::vector<pid_t> Pids(const WorkerPool& pool) {
  std::vector<pid_t> pids;
  for (int slot = 0; slot < pool.size(); ++slot) pids.push_back(pool.worker(slot).pid());
  return pids;
}

TEST_F(RollingRestartTest, EveryWorkerIsAnotherProcessAfterwards) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(3, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const std::vector<pid_t> before = Pids(pool);
  absl::StatusOr<RollOut> outcome = pool.RollingRestart(kNoObservation);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->status, IsOk());
  EXPECT_EQ(outcome->replaced, 3);
  EXPECT_EQ(outcome->slots, 3);
  const std::vector<pid_t> after = Pids(pool);
  for (int slot = 0; slot < 3; ++slot) {
    EXPECT_NE(after[slot], before[slot]);
    EXPECT_NE(after[slot], 0);
  }
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, NewOneIsReadyBeforeTheOldOneIsAskedToEnd) {
  const Shared<std::atomic<int>> serving;
  const Shared<std::atomic<int>> fewest;
  fewest->store(2);
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(
      2,
      [&](Self& self) {
        serving->fetch_add(1);
        self.NotifyReady();
        while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
        const int left = serving->fetch_sub(1) - 1;
        int known = fewest->load();
        while (left < known && !fewest->compare_exchange_weak(known, left)) {
        }
      },
      AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  ASSERT_THAT(pool.RollingRestart(kNoObservation), IsOk());
  EXPECT_EQ(fewest->load(), 2);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, CanaryThatDiesBeforeItIsReadyLeavesTheOldOnes) {
  const Shared<std::atomic<bool>> broken;
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(
      2,
      [&](Self& self) {
        if (broken->load()) ::_exit(7);
        ServeUntilShutdown(self);
      },
      AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const std::vector<pid_t> before = Pids(pool);
  std::vector<RollOut> told;
  pool.OnRollOut([&](const RollOut& outcome) { told.push_back(outcome); });
  broken->store(true);
  absl::StatusOr<RollOut> outcome = pool.RollingRestart(kNoObservation);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(outcome->replaced, 0);
  EXPECT_EQ(Pids(pool), before);
  broken->store(false);
  ASSERT_THAT(pool.RollingRestart(kNoObservation), IsOk()) << "another one may follow";
  ASSERT_EQ(told.size(), 2u);
  EXPECT_THAT(told[1].status, IsOk());
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, EndOfACanaryIsNotTheEndOfItsSlot) {
  const Shared<std::atomic<bool>> broken;
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(
      1,
      [&](Self& self) {
        if (broken->load()) ::_exit(7);
        return ServeUntilShutdown(self);
      },
      AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  broken->store(true);
  ASSERT_THAT(pool.RollingRestart(kNoObservation), IsOk());
  Process old = pool.worker(0);
  EXPECT_THAT(old.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  ASSERT_TRUE(old.exit_event().has_value());
  EXPECT_EQ(old.exit_event()->attempt, 1);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, CanaryThatIsReadyAndGoneAtOnceLeavesTheOldOne) {
  const Shared<std::atomic<bool>> broken;
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(
      1,
      [&](Self& self) {
        const bool dies = broken->load();
        self.NotifyReady();
        if (dies) ::_exit(7);
        ServeUntilShutdown(self);
      },
      AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const pid_t old = pool.worker(0).pid();
  std::optional<RollOut> told;
  pool.OnRollOut([&](const RollOut& outcome) { told = outcome; });
  broken->store(true);
  pid_t canary = 0;
  manager.OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kStarted) canary = event.pid;
  });
  ASSERT_THAT(pool.BeginRollingRestart({.observe = absl::ZeroDuration()}), IsOk());
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);  // not noticed by the manager yet
  while (!told.has_value()) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_THAT(told->status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(pool.worker(0).pid(), old);
  EXPECT_EQ(canary, info.si_pid);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, CanaryThatDiesUnderObservationLeavesTheOldOne) {
  const Shared<std::atomic<bool>> broken;
  testing::Gate gate;
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(
      1,
      [&](Self& self) {
        const bool dies = broken->load();
        self.NotifyReady();
        if (dies) {
          gate.Pass();
          ::_exit(7);
        }
        ServeUntilShutdown(self);
      },
      AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const pid_t old = pool.worker(0).pid();
  broken->store(true);
  pool.worker(0).OnReady([&] { gate.Open(); });
  absl::StatusOr<RollOut> outcome = pool.RollingRestart({.observe = absl::Hours(1)});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(pool.worker(0).pid(), old);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, OldOneThatCrashesUnderObservationHasTheNewOneInItsPlace) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  Process worker = pool.worker(0);
  const pid_t old = worker.pid();
  worker.OnReady([&] { ::kill(old, SIGKILL); });
  absl::StatusOr<RollOut> outcome = pool.RollingRestart({.observe = absl::Milliseconds(300)});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_NE(worker.pid(), old);
  EXPECT_NE(worker.pid(), 0);
  EXPECT_EQ(worker.restarts(), 1);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, SecondOneMeanwhileIsRefused) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.BeginRollingRestart({.observe = absl::Hours(1)}), IsOk());
  EXPECT_THAT(pool.BeginRollingRestart(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(pool.BeginRollingRestart({.observe = -absl::Seconds(1)}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, StopInTheMiddleTellsThatItWasCancelled) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  std::vector<RollOut> told;
  pool.OnRollOut([&](const RollOut& outcome) { told.push_back(outcome); });
  ASSERT_THAT(pool.BeginRollingRestart({.observe = absl::Hours(1)}), IsOk());
  EXPECT_THAT(pool.Stop(), IsOk());
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0].status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(pool.BeginRollingRestart(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RollingRestartTest, ShutdownInTheMiddleTellsThatItWasCancelled) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  std::vector<RollOut> told;
  pool.OnRollOut([&](const RollOut& outcome) { told.push_back(outcome); });
  ASSERT_THAT(pool.BeginRollingRestart({.observe = absl::Hours(1)}), IsOk());
  EXPECT_THAT(manager.Shutdown(), IsOk());
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0].status, StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RollingRestartTest, SlotsAddedInTheMiddleAreNotReplaced) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  pool.worker(0).OnReady([&] { EXPECT_THAT(pool.Resize(3), IsOk()); });
  absl::StatusOr<RollOut> outcome = pool.RollingRestart({.observe = absl::Milliseconds(100)});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->replaced, 1);
  EXPECT_EQ(outcome->slots, 1);
  EXPECT_EQ(pool.worker(1).restarts(), 0);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, SlotTakenAwayWhileItIsReplacedEndsNothing) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(3, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  // The new worker of the second slot is under observation when its slot goes.
  pool.worker(1).OnReady([&] { EXPECT_THAT(pool.Resize(1), IsOk()); });
  absl::StatusOr<RollOut> outcome = pool.RollingRestart({.observe = absl::Milliseconds(100)});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->status, IsOk());
  EXPECT_EQ(outcome->replaced, 1);
  EXPECT_EQ(outcome->slots, 3);
  EXPECT_EQ(pool.worker(0).restarts(), 1);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(RollingRestartTest, HandlerMayDestroyTheManager) {
  auto manager = std::make_unique<ProcessManager>();
  WorkerPool pool = manager->SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  pool.OnRollOut([&](const RollOut&) { manager.reset(); });
  pool.RollingRestart(kNoObservation).IgnoreError();
  EXPECT_EQ(manager, nullptr);
}

TEST_F(RollingRestartTest, ManagerDestroyedInTheMiddleLeavesNothing) {
  WorkerPool pool;
  {
    ProcessManager manager;
    pool = manager.SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
    ASSERT_THAT(pool.WaitReady(), IsOk());
    ASSERT_THAT(pool.BeginRollingRestart({.observe = absl::Hours(1)}), IsOk());
  }
  EXPECT_THAT(pool.BeginRollingRestart(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(RollingRestartTest, HangUpRollsAndTtinAndTtouResize) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  int loads = 0;
  std::optional<RollOut> told;
  ASSERT_THAT(pool.ObeySignals(kNoObservation, [&] { ++loads; }), IsOk());
  pool.OnRollOut([&](const RollOut& outcome) { told = outcome; });
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const auto deliver = [&](int signo, auto until) {
    ::raise(signo);
    while (!until()) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  };
  deliver(SIGTTIN, [&] { return pool.size() == 2; });
  ASSERT_THAT(pool.WaitReady(), IsOk());
  deliver(SIGHUP, [&] { return told.has_value(); });
  EXPECT_EQ(loads, 1);
  EXPECT_EQ(told->replaced, 2);
  deliver(SIGTTOU, [&] { return pool.size() == 1; });
  ::raise(SIGTTOU);
  ASSERT_THAT(manager.Dispatch(), IsOk());
  EXPECT_EQ(pool.size(), 1) << "the last one stays";
  EXPECT_THAT(pool.Stop(), IsOk());
}

}  // namespace
}  // namespace ko
