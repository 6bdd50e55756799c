// The demo host as a user meets it: the program, its command line, and a plugin from outside.

#include <fstream>
#include <string>

#include "demos/host/host.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kPlugin[] = "--plugin=demos/greeting/greeting.so";

TEST(HostTest, ListNamesEveryDemo) {
  const auto result = RunDemo({"list"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_THAT(result.out, AllOf(HasSubstr("hello "), HasSubstr("wait_all "), HasSubstr("daemon "),
                                HasSubstr("respawn "), HasSubstr("workers "), Not(HasSubstr("greeting"))));
}

TEST(HostTest, AMissingOrUnknownCommandPrintsTheUsage) {
  for (const auto& args : std::vector<std::vector<std::string>>{{}, {"walk"}, {"run"}, {"list", "more"}}) {
    const auto result = RunDemo(args);
    EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage));
    EXPECT_THAT(result.err, StartsWith("Usage: "));
    EXPECT_EQ(result.out, "");
  }
}

TEST(HostTest, HelpIsNoError) {
  EXPECT_TRUE(RunDemo({"--help"}).status.ok());
  const auto result = RunDemo({"help", "workers"});
  EXPECT_TRUE(result.status.ok());
  EXPECT_THAT(result.out, AllOf(HasSubstr("--path"), HasSubstr("--crash_percent")));
  EXPECT_EQ(RunDemo({"run", "workers", "--help"}).out, result.out);
}

TEST(HostTest, AnUnknownDemoIsNamedWithThoseThatThereAre) {
  const auto result = RunDemo({"run", "walking"});
  EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(result.err, AllOf(HasSubstr("'walking'"), HasSubstr("workers")));
}

TEST(HostTest, AnUnknownFlagIsNamed) {
  const auto result = RunDemo({"run", "workers", "--wrokers=2"});
  EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(result.err, HasSubstr("--wrokers=2"));
}

TEST(HostTest, APluginIsListedAndRunsWithItsFlags) {
  EXPECT_THAT(RunDemo({"list", kPlugin}).out, HasSubstr("greeting "));
  const auto result = RunDemo({"run", "greeting", "--whom=Ada", kPlugin});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(result.out, "Good morning, Ada, from a plugin's process\n");
}

TEST(HostTest, APluginThatCannotBeLoadedIsNamed) {
  const auto missing = RunDemo({"list", "--plugin=/nowhere/x.so"});
  EXPECT_EQ(missing.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(missing.err, HasSubstr("/nowhere/x.so"));

  const testing::TempDir folder;
  const auto text = RunDemo({"list", "--plugin=" + folder.Write("text.so", "no library at all")});
  EXPECT_EQ(text.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(text.err, HasSubstr("text.so"));
}

TEST(HostTest, ALibraryThatIsNoDemoIsRefused) {
  const auto result = RunDemo({"list", "--plugin=libc.so.6"});
  EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(RunDemo({"list", "--plugin=demos/no_plugin.so"}).err, HasSubstr("KO_DEMO_PLUGIN"));
}

TEST(HostTest, TwoDemosOfOneNameAreRefused) {
  const auto result = RunDemo({"list", kPlugin, kPlugin});
  EXPECT_EQ(result.status, ExitStatus::Exited(kExitUsage));
  EXPECT_THAT(result.err, HasSubstr("a demo 'greeting' already"));
}

TEST(HostTest, RelativePathsAreMeantFromWhereTheUserIs) {
  const testing::TempDir folder;
  folder.Write("one.txt", "a line\n");
  RunningDemo demo({"run", "workers", "--path=.", "--out=result"},
                   {"BUILD_WORKING_DIRECTORY=" + folder.path()});
  const auto result = demo.Finish();
  EXPECT_TRUE(result.status.ok()) << result.err;
  std::ifstream file(folder.File("result"));
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "1 7 ./one.txt");
}

}  // namespace
}  // namespace ko::demos
