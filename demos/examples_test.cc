// The ancestor's examples as demos: what they print, and what ps shows of them.

#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

using ExamplesTest = testing::LeakCheckedTest;

int Count(std::string_view text, std::string_view word) {
  int count = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// Of processes that set no title: `ps` shows each as what was started, under its master.
void ExpectCopiesOf(pid_t master, const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    EXPECT_EQ(CommandLine(pid), CommandLine(master));
    const auto state = testing::ReadProcessState(pid);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->parent, master);
  }
}

TEST_F(ExamplesTest, HelloPrintsItsPidThenItsSuccess) {
  HeldOutput held;
  RunningDemo demo({"run", "hello"}, held);
  const std::vector<pid_t> children = AwaitDescendants(demo.pid(), 1);
  EXPECT_THAT(CommandLine(demo.pid()), EndsWith(std::string("demos\0run\0hello\0", 16)));
  ASSERT_EQ(children.size(), 1u);
  ExpectCopiesOf(demo.pid(), children);
  EXPECT_EQ(held.Take(), absl::StrCat("Hello from ", children[0], "\nSuccess finish!\n"));
  EXPECT_TRUE(demo.Finish().status.ok());
}

TEST_F(ExamplesTest, WaitAllWaitsForTen) {
  HeldOutput held;
  RunningDemo demo({"run", "wait_all"}, held);
  const std::vector<pid_t> children = AwaitDescendants(demo.pid(), 10);
  ASSERT_EQ(children.size(), 10u);
  ExpectCopiesOf(demo.pid(), children);
  const std::string out = held.Take();
  EXPECT_TRUE(demo.Finish().status.ok());
  EXPECT_EQ(Count(out, "my pid is"), 10);
  for (const pid_t pid : children) EXPECT_THAT(out, HasSubstr(absl::StrCat("my pid is ", pid, "\n")));
  EXPECT_EQ(Count(out, "has ended well"), 10);
  EXPECT_THAT(out, EndsWith("All have ended\n"));
}

TEST_F(ExamplesTest, RespawnRestartsThoseThatFailAndEndsThemAll) {
  const auto result = RunDemo({"run", "respawn", "--life=20ms", "--run_for=1s"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(Count(result.out, ", attempt 1\n"), 10);
  EXPECT_EQ(Count(result.out, ", attempt 2\n"), 10);
  EXPECT_THAT(result.out, ContainsRegex("Ten processes were restarted [1-9][0-9]+ times\n$"));
}

TEST_F(ExamplesTest, RespawnKeepsTenAliveUntilSigterm) {
  RunningDemo demo({"run", "respawn", "--life=inf", "--run_for=inf"});
  std::vector<pid_t> before = AwaitDescendants(demo.pid(), 10);
  ASSERT_EQ(before.size(), 10u);
  ExpectCopiesOf(demo.pid(), before);
  ASSERT_EQ(::kill(before[3], SIGKILL), 0);
  testing::AwaitEnded(before[3]);
  const std::vector<pid_t> after = AwaitDescendants(demo.pid(), 10);
  ASSERT_EQ(after.size(), 10u);
  ExpectCopiesOf(demo.pid(), after);
  before.erase(before.begin() + 3);
  EXPECT_THAT(after, ::testing::IsSupersetOf(before));
  ASSERT_TRUE(demo.child().Kill(SIGTERM).ok());
  const auto result = demo.Finish();
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Count(result.out, ", attempt 2\n"), 1);
  EXPECT_THAT(result.out, EndsWith("Ten processes were restarted 1 times\n"));
}

TEST_F(ExamplesTest, SupervisorPrintsATimelineAndAChart) {
  const auto result = RunDemo({"run", "supervisor", "--life=50ms", "--seconds=2s"});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("site/database: started"));
  EXPECT_THAT(result.out, ContainsRegex("\nright +[#.!]*!"));
}

TEST_F(ExamplesTest, SharedMemoryIsOneMapForBothProcesses) {
  HeldOutput held;
  RunningDemo demo({"run", "shared_memory"}, held);
  const std::vector<pid_t> children = AwaitDescendants(demo.pid(), 1);
  ASSERT_EQ(children.size(), 1u);
  ExpectCopiesOf(demo.pid(), children);
  EXPECT_EQ(held.Take(),
            absl::StrFormat("Process %d finds 2 keys\n2 keys: n, from\nn is 42, the greeting is gone\n"
                            "the process was %d, its result is 6.28\n",
                            children[0], children[0]));
  EXPECT_TRUE(demo.Finish().status.ok());
}

TEST_F(ExamplesTest, SemaphoreLetsTheOthersGoOnWhenItsHolderIsKilled) {
  HeldOutput held;
  RunningDemo demo({"run", "semaphore"}, held);
  // Before it forks the others, whose copies would print it too, the master prints what it has found: it waits.
  const std::vector<pid_t> holder = AwaitDescendants(demo.pid(), 1);
  ASSERT_EQ(holder.size(), 1u);
  ExpectCopiesOf(demo.pid(), holder);
  const std::string out = held.Take();
  EXPECT_TRUE(demo.Finish().status.ok());
  EXPECT_THAT(out, AllOf(HasSubstr("While it is held: UNAVAILABLE\n"), EndsWith("Now it is free\n")));
  EXPECT_EQ(Count(out, " is alone\n"), 3);
  EXPECT_EQ(Count(out, "not printed"), 0);
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
