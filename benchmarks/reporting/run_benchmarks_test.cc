#include "ko/benchmarks/reporting/run_benchmarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

namespace ko::benchmarks {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;

class RunBenchmarksTest : public testing::LeakCheckedTest {
 protected:
  // A program that takes a benchmark's flags: lists `names`, or runs `commands` and notes the run and its flags.
  BenchmarkProgram Program(const std::string& name, const std::string& names, const std::string& commands) {
    const std::string path = folder_.File(name);
    std::ofstream(path) << "#!/bin/sh\ncase \"$*\" in *--benchmark_list_tests*) printf '" << names
                        << "'; exit;; esac\necho \"" << name << " $*\" >>" << log() << "\n"
                        << commands << "\n";
    ::chmod(path.c_str(), 0700);
    return {.path = path, .pinned = false};
  }
  BenchmarkProgram Good(const std::string& name) {
    return Program(name, "A/b\\nC/d\\n",
                   absl::StrCat("echo '{\"context\": {\"of\": \"", name, "\"}, \"benchmarks\": []}'"));
  }
  std::string log() const { return folder_.File("runs"); }
  absl::StatusOr<BenchmarkRuns> Run(RunOptions options) {
    SignalDispatcher signals = *SignalDispatcher::Create();
    return RunBenchmarks(options, signals,
                         [this](const RunProgress& progress) { told_.push_back(progress); });
  }
  testing::TempDir folder_;
  std::vector<RunProgress> told_;
};

TEST_F(RunBenchmarksTest, ProgramsTakeTurnsInEachRound) {
  const auto runs = Run({.programs = {Good("one"), Good("two")}, .rounds = 2, .min_time_seconds = 0.5});
  ASSERT_THAT(runs, IsOk());
  ASSERT_EQ(runs->reports.size(), 4u);
  std::vector<std::string> order;
  for (const Json& report : runs->reports) order.emplace_back(report["context"]["of"].text());
  EXPECT_THAT(order, ElementsAre("one", "two", "one", "two"));
  EXPECT_THAT(testing::ReadFile(log()), HasSubstr("--benchmark_min_time=0.5s"));
}

TEST_F(RunBenchmarksTest, ProgressTellsRoundProgramAndTimeLeft) {
  ASSERT_THAT(Run({.programs = {Good("one"), Good("two")}, .rounds = 2, .min_time_seconds = 0.5}), IsOk());
  ASSERT_EQ(told_.size(), 4u);
  EXPECT_EQ(told_[2].round, 2);
  EXPECT_EQ(told_[2].rounds, 2);
  EXPECT_EQ(told_[2].program, folder_.File("one"));
  for (const RunProgress& progress : told_) {
    EXPECT_GT(progress.left, absl::ZeroDuration());
    EXPECT_LT(progress.left, absl::InfiniteDuration());
  }
  EXPECT_EQ(told_[0].left,
            8 * 3 * absl::Seconds(0.5));  // nothing has run: two benchmarks each, in two rounds
}

TEST_F(RunBenchmarksTest, TheFilterIsHandedOnAndWhoHasNoneOfItDoesNotRun) {
  const auto runs =
      Run({.programs = {Program("none", "", "exit 1"), Good("one")}, .rounds = 1, .filter = "^A/"});
  ASSERT_THAT(runs, IsOk());
  EXPECT_EQ(runs->reports.size(), 1u);
  EXPECT_THAT(testing::ReadFile(log()), HasSubstr("--benchmark_filter=^A/"));
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(RunBenchmarksTest, APinnedProgramHasOneProcessor) {
  BenchmarkProgram program = Program(
      "pinned", "A\\n", "echo \"{\\\"context\\\": {\\\"processors\\\": $(nproc)}, \\\"benchmarks\\\": []}\"");
  program.pinned = true;
  const auto runs = Run({.programs = {program}, .rounds = 1});
  ASSERT_THAT(runs, IsOk());
  EXPECT_EQ(runs->reports[0]["context"]["processors"].number(), 1);
}

TEST_F(RunBenchmarksTest, AProgramThatFailsIsToldOfAndTheOthersGoOn) {
  const auto runs =
      Run({.programs = {Program("bad", "A\\n", "echo no memory >&2; exit 3"), Good("one"),
                        Program("odd", "A\\n", "echo hello"), Program("killed", "A\\n", "kill -9 $$")},
           .rounds = 1});
  ASSERT_THAT(runs, IsOk());
  EXPECT_EQ(runs->reports.size(), 1u);
  EXPECT_THAT(
      runs->failures,
      ElementsAre(AllOf(HasSubstr("bad, round 1"), HasSubstr("exited with code 3"), HasSubstr("no memory")),
                  AllOf(HasSubstr("odd, round 1"), HasSubstr("JSON")),
                  AllOf(HasSubstr("killed, round 1"), HasSubstr("killed by SIGKILL"))));
}

TEST_F(RunBenchmarksTest, AProgramThatIsNotThereIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(Run({.programs = {{.path = folder_.File("nothing")}}}).status()));
}

TEST_F(RunBenchmarksTest, ASignalEndsItAfterTheProgramThatRuns) {
  const auto runs =
      Run({.programs = {Program("killer", "A\\n", "kill -TERM $PPID; echo '{}'"), Good("one")}, .rounds = 3});
  EXPECT_TRUE(absl::IsCancelled(runs.status()));
  EXPECT_EQ(told_.size(), 1u);
}

}  // namespace
}  // namespace ko::benchmarks
