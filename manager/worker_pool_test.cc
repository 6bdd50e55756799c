#include "ko/manager/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_policies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// The number of a pool's workers, and their slots.

namespace ko {
namespace {

using testing::IsOk;
using testing::StatusIs;

class WorkerPoolTest : public testing::LeakCheckedTest {};

// Says which slot it is in by its exit code.
int EndWithTheSlot(Self& self) {
  self.NotifyReady();
  while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
  return 10 + self.slot();
}

TEST_F(WorkerPoolTest, ResizeUpAddsSlotsAndKeepsTheOthers) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const std::vector<pid_t> before = {pool.worker(0).pid(), pool.worker(1).pid()};
  ASSERT_THAT(pool.Resize(4), IsOk());
  EXPECT_EQ(pool.size(), 4);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  EXPECT_EQ(manager.size(), 4u);
  EXPECT_EQ(pool.worker(0).pid(), before[0]);
  EXPECT_EQ(pool.worker(1).pid(), before[1]);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(WorkerPoolTest, ResizeDownAsksTheLastOnesToEnd) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(3, EndWithTheSlot, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  const pid_t first = pool.worker(0).pid();
  std::vector<Process> last = {pool.worker(1), pool.worker(2)};
  ASSERT_THAT(pool.Resize(1), IsOk());
  EXPECT_EQ(pool.size(), 1);
  EXPECT_EQ(pool.worker(1).pid(), 0);
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<ExitStatus> status = last[i].Wait();
    ASSERT_THAT(status, IsOk());
    EXPECT_EQ(status->exit_code(), 11 + i);
  }
  EXPECT_EQ(manager.size(), 1u);
  EXPECT_EQ(pool.worker(0).pid(), first);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(WorkerPoolTest, WorkerThatIsResizedAwayIsStoppedByItsOwnPlan) {
  ProcessManager manager;
  manager.SetStopPolicy({.signal = SIGTERM, .grace = absl::Hours(1)});
  WorkerPool pool =
      manager.SpawnPool(2, SleepForEver, AtOnce(), {.stop = StopPlan{.steps = {{SIGUSR2, absl::Hours(1)}}}});
  ASSERT_THAT(pool.WaitReady(), IsOk());
  Process last = pool.worker(1);
  ASSERT_THAT(pool.Resize(1), IsOk());
  absl::StatusOr<ExitStatus> status = last.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->term_signal(), SIGUSR2);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(WorkerPoolTest, ReplacementOfAKilledWorkerHasItsSlot) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(2, EndWithTheSlot, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  Process second = pool.worker(1);
  const pid_t before = second.pid();
  ASSERT_EQ(::kill(before, SIGKILL), 0);
  while (second.pid() == before || second.pid() == 0)
    ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  ASSERT_THAT(pool.WaitReady(), IsOk());
  ASSERT_THAT(pool.Resize(1), IsOk());
  absl::StatusOr<ExitStatus> status = second.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->exit_code(), 11);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(WorkerPoolTest, ResizeToZeroEndsAllWorkers) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(2, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  ASSERT_THAT(pool.Resize(0), IsOk());
  EXPECT_EQ(pool.size(), 0);
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_FALSE(manager.HasAlive());
}

TEST_F(WorkerPoolTest, NumbersThatAreNoneAreRefusedAndChangeNothing) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  for (const int workers :
       {-1, WorkerPool::kMaxWorkers + 1, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    EXPECT_THAT(pool.Resize(workers), StatusIs(absl::StatusCode::kInvalidArgument)) << workers;
    WorkerPool none = manager.SpawnPool(workers, ServeUntilShutdown);
    EXPECT_EQ(none.size(), 0);
    EXPECT_FALSE(none.WaitReady().ok()) << workers;
  }
  EXPECT_EQ(manager.size(), 1u);
  EXPECT_EQ(pool.worker(-1).pid(), 0);
  EXPECT_EQ(pool.worker(1).pid(), 0);
  EXPECT_THAT(pool.Stop(), IsOk());
}

TEST_F(WorkerPoolTest, ResizeDuringAndAfterShutdownIsCancelled) {
  ProcessManager manager;
  WorkerPool pool = manager.SpawnPool(1, ServeUntilShutdown, AtOnce(), kTellsReady);
  ASSERT_THAT(pool.WaitReady(), IsOk());
  absl::Status during;
  manager.OnShutdown([&] { during = pool.Resize(3); });
  ASSERT_THAT(manager.Shutdown(), IsOk());
  EXPECT_THAT(during, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(pool.Resize(3), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_FALSE(manager.HasAlive());
}

TEST_F(WorkerPoolTest, OneOfNoManagerRefusesEverything) {
  WorkerPool pool;
  EXPECT_EQ(pool.size(), 0);
  EXPECT_EQ(pool.worker(0).pid(), 0);
  EXPECT_THAT(pool.Resize(1), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace ko
