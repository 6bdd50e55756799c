// The main job end to end: the real program, real files, real kills.

#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "demos/host/host.h"
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
using ::testing::HasSubstr;

// Files of many sizes, in folders, with names that need care.
class WorkersTest : public testing::LeakCheckedTest {
 protected:
  static constexpr int kFiles = 300;

  void SetUp() override {
    ASSERT_EQ(::mkdir(files_.File("sub folder").c_str(), 0755), 0);
    for (int i = 0; i < kFiles - 2; ++i) {
      std::string text;
      for (int line = 0; line < i * 7 % 500; ++line)
        absl::StrAppend(&text, "line ", line, " of file ", i, "\n");
      files_.Write(absl::StrCat(i % 2 == 0 ? "" : "sub folder/", "file ", i), text);
    }
    files_.Write("name with a\nnewline and a \\", "one\ntwo");
    files_.Write("empty", "");
    ASSERT_EQ(::symlink("empty", files_.File("a link").c_str()), 0);
    testing::LeakCheckedTest::SetUp();
  }

  // Descendants of a process that was killed are this test's children then, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }

  std::vector<std::string> Args(std::vector<std::string> more) const {
    std::vector<std::string> args = {"run", "workers", "--path=" + files_.path(), "--out=" + out()};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  std::string out() const { return results_.File("result"); }
  std::string Output() const { return testing::ReadFile(out()); }

  // What the machine's own tools say of the same files, in the same order.
  std::string Shell(const std::string& pipeline) const {
    absl::StatusOr<Child> shell = Exec({.argv = {"bash", "-c", pipeline, "bash", files_.path()},
                                        .stdout_to = Stdio::File(results_.File("expected"))});
    EXPECT_TRUE(shell.ok() && shell->Wait()->ok()) << shell.status();
    return testing::ReadFile(results_.File("expected"));
  }
  std::string ExpectedCounts() const {
    // wc pads its columns and has no word for a newline in a name.
    return Shell(
        "find \"$1\" -type f -print0 | LC_ALL=C sort -z | while IFS= read -r -d '' f; do "
        "set -- $(wc -lc <\"$f\"); printf '%s %s ' \"$1\" \"$2\"; "
        "printf '%s' \"$f\" | sed -z 's/\\\\/\\\\\\\\/g; s/\\n/\\\\n/g'; echo; done");
  }
  std::string ExpectedSums() const {
    return Shell("find \"$1\" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum");
  }

  testing::TempDir files_;
  testing::TempDir results_;
};

TEST_F(WorkersTest, CountsEqualThoseOfWc) {
  const auto result = RunDemo(Args({}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out, HasSubstr("300 of 300 files done"));
  EXPECT_EQ(Output(), ExpectedCounts());
}

TEST_F(WorkersTest, ExecOutputEqualsThatOfSha256sum) {
  const auto result = RunDemo(Args({"--job=exec:sha256sum", "--workers=3"}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Output(), ExpectedSums());
}

TEST_F(WorkersTest, JobsThatCrashAtFirstChangeNothing) {
  const auto result = RunDemo(Args({"--crash_percent=40"}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Output(), ExpectedCounts());
  EXPECT_TRUE(RunDemo(Args({"--crash_percent=100"})).status.ok());
  EXPECT_EQ(Output(), ExpectedCounts());
}

TEST_F(WorkersTest, KilledWorkersAreReplacedAndLoseNothing) {
  RunningDemo demo(Args({"--workers=4", "--job=exec:sha256sum"}));
  int kills = 0;
  while (kills < 40) {
    const pid_t worker = AwaitDescendantTitled(demo.pid(), "Worker: ");
    if (worker == 0) break;  // all the work is done
    if (::kill(worker, SIGKILL) == 0) ++kills;
    testing::AwaitEnded(worker);
  }
  const auto result = demo.Finish();
  EXPECT_GT(kills, 0);
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Output(), ExpectedSums());
}

TEST_F(WorkersTest, KilledJobsAreTriedAgain) {
  RunningDemo demo(Args({"--workers=2"}));
  int kills = 0;
  for (pid_t job = 0; kills < 20; ++kills) {
    const pid_t next = AwaitDescendantTitled(demo.pid(), "Job: ");
    if (next == 0) break;
    if (next != job) ::kill(next, SIGKILL);
    testing::AwaitEnded(job = next);
  }
  const auto result = demo.Finish();
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Output(), ExpectedCounts());
}

TEST_F(WorkersTest, AJobThatAlwaysFailsIsReportedAfterThreeAttempts) {
  files_.Write("the bad one", "");
  const std::string attempts = results_.File("attempts");
  const std::string script = results_.Write(
      "script", absl::StrCat("#!/bin/sh\ncase \"$1\" in *bad*) echo x >>", attempts, "; exit 3;; esac\n"),
      0755);
  const auto result = RunDemo(Args({"--job=exec:" + script}));
  EXPECT_EQ(result.status, ExitStatus::Exited(1));
  EXPECT_THAT(result.err, AllOf(HasSubstr("the bad one: "), HasSubstr("exited with code 3")));
  EXPECT_THAT(result.out, HasSubstr("300 of 301 files done"));
  EXPECT_THAT(result.out, HasSubstr("1 failed"));
  EXPECT_EQ(testing::ReadFile(attempts), "x\nx\nx\n");
}

TEST_F(WorkersTest, AnUnreadableFileIsReported) {
  // Root may read anything, so the file goes away after it has been listed.
  files_.Write("zz goes away", "");
  const std::string script = results_.Write(
      "script", absl::StrCat("#!/bin/sh\ncat \"$1\" || exit 1\nrm -f '", files_.File("zz goes away"), "'\n"),
      0755);
  const auto result = RunDemo(Args({"--workers=1", "--job=exec:" + script}));
  EXPECT_EQ(result.status, ExitStatus::Exited(1));
  EXPECT_THAT(result.err, HasSubstr("zz goes away"));
}

TEST_F(WorkersTest, ACommandThatIsNotThereIsNamed) {
  const auto result = RunDemo(Args({"--job=exec:no-such-program"}));
  EXPECT_EQ(result.status, ExitStatus::Exited(1));
  EXPECT_THAT(result.err, AllOf(HasSubstr("no-such-program"), HasSubstr("and 290 more")));
}

TEST_F(WorkersTest, SigtermLetsRunningJobsFinishAndLeavesTheRest) {
  const std::string started = results_.File("started"), finished = results_.File("finished");
  const std::string go = results_.File("go");
  const std::string script =
      results_.Write("script",
                     absl::StrCat("#!/bin/sh\necho x >>", started, "\nwhile [ ! -e ", go,
                                  " ]; do sleep 0.01; done\necho x >>", finished, "\n"),
                     0755);
  RunningDemo demo(Args({"--workers=2", "--job=exec:" + script}));
  while (testing::ReadFile(started).size() < 4) ::sched_yield();
  ASSERT_EQ(::kill(demo.pid(), SIGTERM), 0);
  // The workers have been told when the jobs have been: they are asked last.
  for (pid_t job : DescendantsTitled(demo.pid(), "Job: ")) EXPECT_NE(job, 0);
  results_.Write("go", "");
  const auto result = demo.Finish();
  EXPECT_EQ(result.status, ExitStatus::Exited(128 + SIGTERM));
  EXPECT_EQ(testing::ReadFile(finished).size(), testing::ReadFile(started).size());
  EXPECT_THAT(result.out, AllOf(HasSubstr("stopped, "), HasSubstr(" left undone"), HasSubstr(" 0 failed")));
}

TEST_F(WorkersTest, JobsThatIgnoreSigtermEndWithTheGraceTime) {
  const std::string script =
      results_.Write("script", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", 0755);
  RunningDemo demo(Args({"--workers=2", "--grace=200ms", "--job=exec:" + script}));
  ASSERT_NE(AwaitDescendantTitled(demo.pid(), "Job: "), 0);
  ASSERT_EQ(::kill(demo.pid(), SIGTERM), 0);
  ASSERT_EQ(::kill(demo.pid(), SIGTERM), 0);
  const auto result = demo.Finish();
  EXPECT_EQ(result.status, ExitStatus::Exited(128 + SIGTERM));
  EXPECT_THAT(result.out, HasSubstr("0 of 300 files done"));
}

TEST_F(WorkersTest, AKilledMasterLeavesNoProcess) {
  const std::string script = results_.Write("script", "#!/bin/sh\nexec sleep 1000\n", 0755);
  RunningDemo demo(Args({"--workers=3", "--job=exec:" + script}));
  while (DescendantsTitled(demo.pid(), "sleep").size() < 3) ::sched_yield();
  std::vector<pid_t> all = Descendants(demo.pid());
  EXPECT_EQ(all.size(), 9u);  // three workers, three jobs, three commands
  ASSERT_TRUE(demo.child().Kill(SIGKILL).ok());
  EXPECT_EQ(demo.Finish().status, ExitStatus::Signaled(SIGKILL));
  for (pid_t pid : all) testing::AwaitEnded(pid);
}

TEST_F(WorkersTest, TitlesTellWhoIsWho) {
  const std::string script = results_.Write("script", "#!/bin/sh\nexec sleep 1000\n", 0755);
  RunningDemo demo(Args({"--workers=2", "--grace=0s", "--job=exec:" + script}));
  while (DescendantsTitled(demo.pid(), "sleep").size() < 2) ::sched_yield();
  EXPECT_EQ(testing::ReadFile(absl::StrCat("/proc/", demo.pid(), "/cmdline")),
            std::string("Master: 2 workers, 300 files") + '\0');
  EXPECT_EQ(DescendantsTitled(demo.pid(), "Worker: 1 of 2").size(), 1u);
  EXPECT_EQ(DescendantsTitled(demo.pid(), "Worker: 2 of 2").size(), 1u);
  EXPECT_EQ(DescendantsTitled(demo.pid(), "Job: processing " + files_.path()).size(), 2u);
  ASSERT_TRUE(demo.child().Kill().ok());
  demo.Finish();
}

TEST_F(WorkersTest, AnEmptyFolderIsSaidAndIsNoError) {
  const testing::TempDir empty;
  const auto result = RunDemo({"run", "workers", "--path=" + empty.path()});
  EXPECT_TRUE(result.status.ok());
  EXPECT_THAT(result.err, HasSubstr("there is no file under " + empty.path()));
  EXPECT_THAT(result.out, HasSubstr("0 of 0 files done"));
}

TEST_F(WorkersTest, OneFileIsAJobToo) {
  EXPECT_TRUE(RunDemo({"run", "workers", "--path=" + files_.File("empty"), "--out=" + out()}).status.ok());
  EXPECT_EQ(Output(), "0 0 " + files_.File("empty") + "\n");
}

TEST_F(WorkersTest, BadFlagsAreNamed) {
  const struct {
    std::string flag;
    const char* said;
  } cases[] = {
      {"--path=/nowhere/at/all", "/nowhere/at/all"},
      {"--workers=0", "--workers=0"},
      {"--workers=-1", "--workers=-1"},
      {"--workers=10001", "--workers=10001"},
      {"--job=dance", "--job=dance"},
      {"--job=exec:", "--job=exec:"},
      {"--queue=tcp:", "--queue=tcp:"},
      {"--crash_percent=101", "--crash_percent=101"},
      {"--grace=-1s", "--grace=-1s"},
      {"--path=/dev/null", "/dev/null"},
  };
  for (const auto& each : cases) {
    const auto result = RunDemo({"run", "workers", each.flag});
    EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage)) << each.flag;
    EXPECT_THAT(result.err, HasSubstr(each.said));
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(WorkersTest, ManyWorkersAreNoMoreThanThereAreFiles) {
  const auto result = RunDemo(Args({"--workers=10000"}));
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(Output(), ExpectedCounts());
}

TEST_F(WorkersTest, AnOutputThatCannotBeWrittenIsAnError) {
  const auto result = RunDemo({"run", "workers", "--path=" + files_.path(), "--out=/nowhere/result"});
  EXPECT_EQ(result.status, ExitStatus::Exited(1));
  EXPECT_THAT(result.err, HasSubstr("/nowhere/result"));
}

}  // namespace
}  // namespace ko::demos
