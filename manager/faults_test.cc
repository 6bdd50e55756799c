#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/process/test_end.h"
#include "ko/testing/fault_sweep.h"
#include "ko/testing/leaks.h"

// Each system call of what the module does fails in turn with each errno: the operation says so or does its work all the
// same, leaves nothing, and can be done again.

namespace ko {
namespace {

using testing::FaultRound;
using testing::SweepFaults;

class ManagerFaultsTest : public testing::LeakCheckedTest {};

constexpr absl::Duration kLimit = absl::Seconds(20);

TEST_F(ManagerFaultsTest, Fork) {
  const auto count = SweepFaults("ProcessManager::Fork", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      ProcessManager manager;
      return EndOf(manager.Fork([](Self&) {}).Wait(kLimit));
    });
  });
  EXPECT_GT(count.injected, 20);
}

TEST_F(ManagerFaultsTest, SpawnAndStop) {
  const auto count = SweepFaults("ProcessManager::Spawn, Shutdown", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      ProcessManager manager;
      Process process = manager.Spawn(
          [](Self& self) {
            self.NotifyReady();
            while (self.Sleep(absl::InfiniteDuration())) {
            }
          },
          {.when = RestartPolicy::When::kNever}, {.ready = ReadyWhen::kNotified});
      absl::Status ready = process.WaitReady(kLimit);
      absl::Status down = manager.Shutdown();
      return ready.ok() ? down : ready;
    });
  });
  EXPECT_GT(count.injected, 20);
}

TEST_F(ManagerFaultsTest, SpawnOfACommand) {
  SweepFaults("ProcessManager::Spawn of a command", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      ProcessManager manager;
      Command command = {.argv = {"/bin/echo", "hello"}};
      command.stdout_to = Stdio::Pipe();
      return EndOf(manager.Spawn(command, {.when = RestartPolicy::When::kNever}).Wait(kLimit));
    });
  });
}

TEST_F(ManagerFaultsTest, RestartsGoOn) {
  SweepFaults("ProcessManager::Spawn with restarts", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      ProcessManager manager;
      RestartPolicy policy;
      policy.initial_delay = absl::Milliseconds(1);
      // A failed start counts as an attempt and is followed by another one.
      return EndOf(manager.Spawn([](Self& self) { return self.attempt() < 3 ? 1 : 0; }, policy).Wait(kLimit));
    });
  });
}

TEST_F(ManagerFaultsTest, Pool) {
  SweepFaults("ProcessManager::SpawnPool, Resize", [](FaultRound& round) {
    round.Try([]() -> absl::Status {
      ProcessManager manager;
      WorkerPool pool = manager.SpawnPool(2, [](Self& self) {
        while (self.Sleep(absl::InfiniteDuration())) {
        }
      });
      absl::Status ready = pool.WaitReady(kLimit);
      absl::Status resized = ready.ok() ? pool.Resize(1) : ready;
      absl::Status down = manager.Shutdown();
      return resized.ok() ? down : resized;
    });
  });
}

}  // namespace
}  // namespace ko
