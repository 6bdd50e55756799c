// The ancestor's examples as demos: what they print, and what ps shows of them.

#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

using ExamplesTest = testing::LeakCheckedTest;

int Count(std::string_view text, std::string_view word) {
  int count = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST_F(ExamplesTest, HelloPrintsItsPidThenItsSuccess) {
  const auto result = RunDemo({"run", "hello"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_THAT(result.out, MatchesRegex("Hello from [0-9]+\nSuccess finish!\n"));
}

TEST_F(ExamplesTest, WaitAllWaitsForTen) {
  const auto result = RunDemo({"run", "wait_all"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(Count(result.out, "my pid is"), 10);
  EXPECT_EQ(Count(result.out, "has ended well"), 10);
  EXPECT_THAT(result.out, EndsWith("All have ended\n"));
}

TEST_F(ExamplesTest, RespawnRestartsThoseThatFailAndEndsThemAll) {
  const auto result = RunDemo({"run", "respawn", "--life=20ms", "--run_for=1s"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(Count(result.out, ", attempt 1\n"), 10);
  EXPECT_EQ(Count(result.out, ", attempt 2\n"), 10);
  EXPECT_THAT(result.out, ContainsRegex("Ten processes were restarted [1-9][0-9]+ times\n$"));
}

TEST_F(ExamplesTest, SupervisorPrintsATimelineAndAChart) {
  const auto result = RunDemo({"run", "supervisor", "--life=50ms", "--seconds=2s"});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("site/database: started"));
  EXPECT_THAT(result.out, ContainsRegex("\nright +[#.!]*!"));
}

TEST_F(ExamplesTest, SharedMemoryIsOneMapForBothProcesses) {
  const auto result = RunDemo({"run", "shared_memory"});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, MatchesRegex("2 keys: n, from\nn is 42, the greeting is gone\n"
                                       "the process was [0-9]+, its result is 6.28\n"));
}

TEST_F(ExamplesTest, SemaphoreLetsTheOthersGoOnWhenItsHolderIsKilled) {
  const auto result = RunDemo({"run", "semaphore"});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("While it is held: UNAVAILABLE\n"), EndsWith("Now it is free\n")));
  EXPECT_EQ(Count(result.out, " is alone\n"), 3);
  EXPECT_EQ(Count(result.out, "not printed"), 0);
}

TEST_F(ExamplesTest, DaemonHasATitleAndLeavesOnSigterm) {
  const testing::TempDir folder;
  const std::string log = folder.File("log"), pid_file = folder.File("pid");
  const auto launch = RunDemo({"run", "daemon", "--log_file=" + log, "--pid_file=" + pid_file});
  ASSERT_TRUE(launch.status.ok()) << launch.err;
  EXPECT_EQ(launch.out, "");

  pid_t pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(testing::ReadFile(pid_file), &pid));
  EXPECT_EQ(testing::ReadFile(log), absl::StrCat("The daemon runs with pid ", pid, "\n"));
  EXPECT_EQ(testing::ReadFile(absl::StrCat("/proc/", pid, "/cmdline")), std::string("I am a daemon!") + '\0');
  const auto state = testing::ReadProcessState(pid);
  ASSERT_TRUE(state.has_value());
  EXPECT_NE(state->session, pid);  // it cannot get a terminal

  const auto second = RunDemo({"run", "daemon", "--pid_file=" + pid_file});
  EXPECT_EQ(second.status, ExitStatus::Exited(1));
  EXPECT_THAT(second.err, HasSubstr(absl::StrCat("already running with pid ", pid)));

  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);  // orphans of this test are its children
  EXPECT_EQ(status, 0);
  EXPECT_THAT(testing::ReadFile(log), EndsWith("The daemon is leaving\n"));
}

TEST_F(ExamplesTest, ForkServerPrintsBothCosts) {
  const auto result = RunDemo({"run", "fork_server", "--memory_mb=16", "--workers=20"});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out,
              ContainsRegex("Fork: +20 workers, [0-9]+ us each\nForkServer: 20 workers, [0-9]+ us each\n"));
  EXPECT_EQ(RunDemo({"run", "fork_server", "--workers=0"}).status, ExitStatus::Exited(2));
}

}  // namespace
}  // namespace ko::demos
