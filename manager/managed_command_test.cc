#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ko/manager/process_manager.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// Commands under a manager.

namespace ko {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InChild;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
using testing::TempDir;

const RestartPolicy kOnce = {.when = RestartPolicy::When::kNever};
const RestartPolicy kAtOnce = {.initial_delay = absl::ZeroDuration(), .max_delay = absl::ZeroDuration()};

// A shell whose output the manager collects.
Command Shell(const std::string& script) {
  return {.argv = {"sh", "-c", script}, .stdout_to = Stdio::Pipe(), .stderr_to = Stdio::Pipe()};
}

class ManagedCommandTest : public testing::LeakCheckedTest {};

TEST_F(ManagedCommandTest, EndIsTheProcesses) {
  ProcessManager manager;
  EXPECT_THAT(manager.Spawn(Command{.argv = {"true"}}, kOnce).Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(manager.Spawn(Shell("exit 7"), kOnce).Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
  EXPECT_THAT(manager.Spawn(Shell("kill -KILL $$"), kOnce).Wait(),
              IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

TEST_F(ManagedCommandTest, IsRestartedByTheSamePolicies) {
  const TempDir folder;
  ProcessManager manager;
  std::vector<int> attempts;
  Process process = manager.Spawn(Shell(absl::StrCat("echo x >> ", folder.File("runs"), "; [ $(wc -l < ",
                                                     folder.File("runs"), ") = 3 ]")),
                                  kAtOnce);
  process.OnExitEvent([&](const ExitEvent& exit) { attempts.push_back(exit.attempt); });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 2);
  EXPECT_THAT(attempts, ElementsAre(1, 2, 3));
}

TEST_F(ManagedCommandTest, ProgramThatIsMissingIsAFailedStartThatCounts) {
  ProcessManager manager;
  RestartPolicy policy = kAtOnce;
  policy.max_restarts = 2;
  int failures = 0;
  Process process = manager.Spawn(Command{.argv = {"/no/such/program"}}, policy);
  process.OnExitEvent([&](const ExitEvent& exit) {
    EXPECT_EQ(exit.status.start_error(), ENOENT);
    EXPECT_THAT(exit.status.ToString(), HasSubstr("execve(/no/such/program)"));
    EXPECT_EQ(exit.pid, 0);
    ++failures;
  });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::NotStarted(ENOENT)));
  EXPECT_EQ(failures, 3);
  EXPECT_THAT(process.exit_status()->ToStatus(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ManagedCommandTest, WhatNoManagerCanGiveIsRefused) {
  ProcessManager manager;
  Process process = manager.Spawn(Command{.argv = {"cat"}, .stdin_from = Stdio::Pipe()});
  absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("standard input")));
}

// --- output ---

TEST_F(ManagedCommandTest, LastLinesComeWithTheExitAndItsMessage) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("seq 1 100; echo cannot go on >&2; exit 3"), kOnce);
  std::vector<std::string> lines;
  process.OnExitEvent([&](const ExitEvent& exit) { lines = exit.last_lines; });
  absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(lines.size(), 10u);
  EXPECT_THAT(lines, ::testing::Contains("cannot go on"));
  EXPECT_THAT(lines, ::testing::Contains("100"));
  EXPECT_THAT(status->ToString(),
              AllOf(HasSubstr("exited with code 3; last output:\n"), HasSubstr("cannot go on")));
  EXPECT_THAT(status->ToStatus().message(), HasSubstr("cannot go on"));
}

TEST_F(ManagedCommandTest, EachAttemptHasItsOwnLines) {
  const TempDir folder;
  ProcessManager manager;
  std::vector<std::vector<std::string>> lines;
  Process process = manager.Spawn(Shell(absl::StrCat("echo x >> ", folder.File("runs"), "; n=$(wc -l < ",
                                                     folder.File("runs"), "); echo run $n; [ $n = 2 ]")),
                                  kAtOnce);
  process.OnExitEvent([&](const ExitEvent& exit) { lines.push_back(exit.last_lines); });
  EXPECT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(lines, ElementsAre(ElementsAre("run 1"), ElementsAre("run 2")));
}

TEST_F(ManagedCommandTest, CommandThatPrintsMoreThanAPipeHoldsIsNotHeldUp) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("seq 1 300000; seq 1 300000 >&2"), kOnce);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(process.exit_event()->last_lines, ::testing::Contains("300000"));
}

TEST_F(ManagedCommandTest, OutputThatIsNotCollectedHasNoLines) {
  const testing::InChildResult result = InChild([] {
    ProcessManager manager;
    Process process = manager.Spawn(Command{.argv = {"echo", "hello"}}, kOnce);
    EXPECT_THAT(process.Wait(), IsOk());
    EXPECT_THAT(process.exit_event()->last_lines, IsEmpty());
  });
  EXPECT_EQ(result.out, "hello\n");
}

TEST_F(ManagedCommandTest, CommandThatClosesItsOutputLivesOn) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("echo bye; exec >&- 2>&-; kill -STOP $$; exit 4"), kOnce);
  testing::AwaitState(process.pid(), 'T');
  EXPECT_THAT(manager.Dispatch(absl::Milliseconds(10)), IsOkAndHolds(0));
  EXPECT_THAT(process.Kill(SIGCONT), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(4)));
  EXPECT_THAT(process.exit_event()->last_lines, ElementsAre("bye"));
}

TEST_F(ManagedCommandTest, WhatItLeavesRunningDoesNotPutItsEndOff) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("sleep 1000 & echo $!; exit 2"), kOnce);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(2)));
  const pid_t left = std::stoi(process.exit_event()->last_lines.at(0));
  EXPECT_EQ(::kill(left, SIGKILL), 0);
  EXPECT_EQ(::waitpid(left, nullptr, 0), left) << "an orphan, which the test has adopted";
}

TEST_F(ManagedCommandTest, BodiesHoldNoOutputOfCommandsOpen) {
  ProcessManager manager;
  Process command = manager.Spawn(Shell("exec sleep 1000"), kOnce);
  Process body = manager.Fork([] {
    for (int fd = 3; fd < 64; ++fd) {
      struct stat file;
      if (::fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode)) return 1;
    }
    return 0;
  });
  EXPECT_THAT(body.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(command.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

// --- its life ---

TEST_F(ManagedCommandTest, ShutdownStopsItAndIsNoFailureToRestart) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("exec sleep 1000"));
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGTERM));
  EXPECT_EQ(process.restarts(), 0);
}

TEST_F(ManagedCommandTest, IsInAProcessGroupOfItsOwn) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("exec sleep 1000"), kOnce);
  EXPECT_EQ(testing::ReadProcessState(process.pid())->process_group, process.pid());
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(ManagedCommandTest, DiesWithItsManager) {
  const testing::InChildResult result = InChild([] {
    ProcessManager manager;
    Process process = manager.Spawn(Shell("exec sleep 1000"), kOnce);
    std::printf("%d", process.pid());
    std::fflush(stdout);
    ::raise(SIGKILL);
  });
  const pid_t pid = std::stoi(result.out);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid) << "it is this process's child now";
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(ManagedCommandTest, ExitEventTellsPidTimeAndUsage) {
  ProcessManager manager;
  Process process =
      manager.Spawn(Shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; kill -SEGV $$"), kOnce);
  const pid_t pid = process.pid();
  EXPECT_EQ(process.exit_event(), std::nullopt);
  EXPECT_THAT(process.Wait(), IsOk());
  const std::optional<ExitEvent> exit = process.exit_event();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->status.term_signal(), SIGSEGV);
  EXPECT_EQ(exit->pid, pid);
  EXPECT_EQ(exit->attempt, 1);
  EXPECT_GT(exit->run_time, absl::ZeroDuration());
  EXPECT_GT(exit->usage.user_time + exit->usage.system_time, absl::ZeroDuration());
  EXPECT_GT(exit->usage.max_rss_bytes, 0);
  EXPECT_FALSE(exit->oom_killed);
}

TEST_F(ManagedCommandTest, EventStreamTellsTheSameOfItsEnd) {
  ProcessManager manager;
  std::optional<ProcessEvent> told;
  manager.OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kExited) told = event;
  });
  Process process = manager.Spawn(Shell("echo one; echo two; exit 3"), kOnce);
  EXPECT_THAT(process.Wait(), IsOk());
  ASSERT_TRUE(told.has_value() && told->exit.has_value());
  EXPECT_EQ(told->pid, told->exit->pid);
  EXPECT_EQ(told->attempt, 1);
  EXPECT_THAT(told->exit->last_lines, ElementsAre("one", "two"));
  EXPECT_GT(told->exit->usage.max_rss_bytes, 0);
  EXPECT_THAT(told->ToString(), HasSubstr("exited with code 3; last output: | one | two"));
}

TEST_F(ManagedCommandTest, BodiesHaveExitEventsToo) {
  ProcessManager manager;
  Process process = manager.Fork([] { return absl::InternalError("no luck"); });
  std::optional<ExitEvent> seen;
  process.OnExitEvent([&](const ExitEvent& exit) { seen = exit; });
  EXPECT_THAT(process.Wait(), IsOk());
  ASSERT_TRUE(seen.has_value());
  EXPECT_THAT(seen->status.ToString(), HasSubstr("no luck"));
  EXPECT_GT(seen->usage.max_rss_bytes, 0);
  EXPECT_THAT(seen->last_lines, IsEmpty());
}

TEST_F(ManagedCommandTest, KillByAnyoneIsNoOomKill) {
  ProcessManager manager;
  Process process = manager.Spawn(Shell("exec sleep 1000"), kOnce);
  EXPECT_THAT(process.Kill(SIGKILL), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_FALSE(process.exit_event()->oom_killed);
}

// A memory cgroup below this process's own, of either version; removed with its last process.
class MemoryCgroup {
 public:
  MemoryCgroup() {
    for (const std::string& line : std::vector<std::string>(
             absl::StrSplit(testing::ReadFile("/proc/self/cgroup"), '\n', absl::SkipEmpty()))) {
      const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
      const bool v2 = fields[1].empty();
      if (!v2 && fields[1] != "memory") continue;
      path_ =
          absl::StrCat(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", fields[2], "/ko-test-", ::getpid());
      if (::mkdir(path_.c_str(), 0700) != 0) continue;
      usable_ = Write(v2 ? "memory.max" : "memory.limit_in_bytes", "100000000");
      if (usable_) return;
      ::rmdir(path_.c_str());
    }
  }
  ~MemoryCgroup() { ::rmdir(path_.c_str()); }

  bool usable() const { return usable_; }
  bool Enter() { return Write("cgroup.procs", absl::StrCat(::getpid())); }

 private:
  bool Write(const std::string& file, const std::string& text) {
    std::ofstream out(absl::StrCat(path_, "/", file));
    out << text;
    return static_cast<bool>(out.flush());
  }

  std::string path_;
  bool usable_ = false;
};

TEST_F(ManagedCommandTest, OomKillIsTold) {
  MemoryCgroup cgroup;
  if (!cgroup.usable()) GTEST_SKIP() << "this process may not make a memory cgroup";
  const testing::InChildResult result = InChild([&]() -> std::string {
    if (!cgroup.Enter()) return "skip";
    ProcessManager manager;
    // A command that would fill the machine, and is the one that the kernel picks; then one that somebody kills.
    Process hog = manager.Spawn(Shell("echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero"), kOnce);
    EXPECT_THAT(hog.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
    EXPECT_TRUE(hog.exit_event()->oom_killed);
    Process other = manager.Spawn(Command{.argv = {"sleep", "1000"}}, kOnce);
    EXPECT_THAT(other.Kill(SIGKILL), IsOk());
    EXPECT_THAT(other.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
    EXPECT_FALSE(other.exit_event()->oom_killed);
    return "";
  });
  EXPECT_TRUE(result.ok());
  if (result.value == "skip") GTEST_SKIP() << "this process may not enter its cgroup";
}

// The kernel counts them; a restart between the looks at two of them takes nothing from the second one.
TEST_F(ManagedCommandTest, OomKillsThatAreNoticedTogetherAreToldOfEach) {
  MemoryCgroup cgroup;
  if (!cgroup.usable()) GTEST_SKIP() << "this process may not make a memory cgroup";
  const testing::TempDir folder;
  const testing::InChildResult result = InChild([&]() -> std::string {
    if (!cgroup.Enter()) return "skip";
    ProcessManager manager;
    std::vector<Process> hogs;
    std::vector<bool> told;
    for (int i = 0; i < 2; ++i) {
      hogs.push_back(manager.Spawn(
          Shell(absl::StrCat("mark=", folder.path(), "/", i,
                             "; test -e $mark && exec sleep 1000; : > $mark; ",
                             "echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero")),
          {.initial_delay = absl::ZeroDuration(), .max_delay = absl::ZeroDuration(), .jitter = 0}));
      hogs.back().OnExitEvent([&told](const ExitEvent& exit) { told.push_back(exit.oom_killed); });
    }
    for (const Process& hog : hogs) {
      siginfo_t end;
      EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(hog.pid()), &end, WEXITED | WNOWAIT), 0);
    }
    EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(2));
    EXPECT_THAT(told, ElementsAre(true, true));
    EXPECT_THAT(manager.Shutdown({.signal = SIGKILL}), IsOk());
    return "";
  });
  EXPECT_TRUE(result.ok()) << result.err;
  if (result.value == "skip") GTEST_SKIP() << "this process may not enter its cgroup";
}

}  // namespace
}  // namespace ko
