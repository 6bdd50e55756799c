#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_policies.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"

// RestartPolicy::hot_spare: a replacement that is forked in advance.

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;

class HotSpareTest : public testing::LeakCheckedTest {};

RestartPolicy WithSpare() {
  RestartPolicy policy = AtOnce();
  policy.hot_spare = true;
  return policy;
}

std::vector<pid_t> Children() {
  std::vector<pid_t> pids;
  const std::string children = testing::ReadFile("/proc/thread-self/children");
  for (const std::string_view pid : absl::StrSplit(children, ' ', absl::SkipWhitespace())) {
    EXPECT_TRUE(absl::SimpleAtoi(pid, &pids.emplace_back()));
  }
  return pids;
}

TEST_F(HotSpareTest, ReplacementHasTheNextNumberAndTheSharedMemory) {
  const Shared<std::atomic<int>> newest;
  ProcessManager manager;
  Process process = manager.Spawn(
      [&](Self& self) {
        newest->store(self.attempt());
        return ServeUntilShutdown(self);
      },
      WithSpare());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    ASSERT_THAT(process.WaitReady(), IsOk());
    EXPECT_EQ(newest->load(), attempt);
    EXPECT_EQ(process.restarts(), attempt - 1);
    ASSERT_THAT(process.Kill(SIGKILL), IsOk());
    while (process.restarts() < attempt) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  }
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(HotSpareTest, ReplacementWasForkedBeforeTheEnd) {
  ProcessManager manager;
  int variable = 1;
  const Shared<std::atomic<int>> seen;
  Process process = manager.Spawn(
      [&](Self& self) {
        seen->store(variable);
        ServeUntilShutdown(self);
      },
      WithSpare());
  ASSERT_THAT(process.WaitReady(), IsOk());
  variable = 2;
  ASSERT_THAT(process.Kill(SIGKILL), IsOk());
  while (process.restarts() == 0) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(seen->load(), 1);
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(HotSpareTest, StopRightAfterItsTurnIsHeard) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, WithSpare());
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Kill(SIGKILL), IsOk());
  while (process.restarts() == 0) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_THAT(process.Stop({.grace = absl::Minutes(1)}), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(HotSpareTest, SpareIsNoProcessOfThePrograms) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, WithSpare());
  EXPECT_EQ(manager.size(), 1u);
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOk());
  EXPECT_EQ(manager.size(), 0u);
}

TEST_F(HotSpareTest, LimitLeavesNoSpare) {
  RestartPolicy policy = WithSpare();
  policy.max_restarts = 2;
  ProcessManager manager;
  Process process = manager.Spawn([] { return 3; }, policy);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(process.restarts(), 2);
}

TEST_F(HotSpareTest, SpareStaysOverTheDelay) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) { return self.attempt() == 3 ? 0 : 5; },
      {.when = RestartPolicy::When::kOnFailure, .initial_delay = absl::Milliseconds(50), .hot_spare = true});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 2);
}

TEST_F(HotSpareTest, StopDuringTheDelayLeavesNoSpare) {
  RestartPolicy policy = WithSpare();
  policy.initial_delay = policy.max_delay = absl::Hours(1);
  ProcessManager manager;
  bool ended = false;
  Process process = manager.Spawn([] { return 5; }, policy);
  process.OnExit([&](const ExitStatus&) { ended = true; });
  while (!ended) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(5)));
}

TEST_F(HotSpareTest, ManagersDeathTakesTheSpareAlong) {
  InChild([] {
    ProcessManager manager;
    Process process = manager.Spawn(ServeUntilShutdown, WithSpare());
    EXPECT_THAT(process.WaitReady(), IsOk());
    ::raise(SIGKILL);
  });
  // Orphans are this process's now, and end by themselves.
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

TEST_F(HotSpareTest, SigtermBeforeItsTurnIsHeardInItsTurn) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, WithSpare());
  ASSERT_THAT(process.WaitReady(), IsOk());
  const pid_t first = process.pid();
  for (const pid_t pid : Children()) {
    if (pid != first) ::kill(pid, SIGTERM);
  }
  std::vector<ExitStatus> ends;
  process.OnExit([&](const ExitStatus& status) { ends.push_back(status); });
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  while (ends.size() < 2) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_EQ(ends[0], ExitStatus::Signaled(SIGKILL));
  EXPECT_EQ(ends[1], ExitStatus::Exited(kSawShutdown));
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(HotSpareTest, AllKilledFromOutsideComeBack) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, WithSpare());
  for (int round = 1; round <= 3; ++round) {
    // A spare that is still dying may have been given the turn, and may have been ready before it died.
    while (!process.IsReady()) {
      const absl::Status ready = process.WaitReady();
      ASSERT_TRUE(ready.ok() || absl::IsAborted(ready)) << ready;
    }
    const int restarts = process.restarts();
    for (const pid_t pid : Children()) ::kill(pid, SIGKILL);
    while (process.restarts() == restarts) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  }
  EXPECT_THAT(process.Stop(), IsOk());
}

}  // namespace
}  // namespace ko
