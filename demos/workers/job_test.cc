#include "demos/workers/job.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/leaks.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::HasSubstr;

using JobTest = testing::LeakCheckedTest;

TEST_F(JobTest, CountsNewlinesAndBytes) {
  const testing::TempDir folder;
  const auto count = [&](const std::string& text) { return CountFile(folder.Write("f", text)).value(); };
  EXPECT_EQ(count(""), "0 0 " + folder.File("f") + "\n");
  EXPECT_EQ(count("no end"), "0 6 " + folder.File("f") + "\n");
  EXPECT_EQ(count("\n\n"), "2 2 " + folder.File("f") + "\n");
  EXPECT_EQ(count(std::string(1'000'000, '\n')), "1000000 1000000 " + folder.File("f") + "\n");
  EXPECT_EQ(count(std::string(100'000, '\0')), "0 100000 " + folder.File("f") + "\n");
}

TEST_F(JobTest, APathTakesOneLineWhateverItHolds) {
  const testing::TempDir folder;
  EXPECT_EQ(CountFile(folder.Write("a\nb\\c d", "x")).value(), "0 1 " + folder.path() + "/a\\nb\\\\c d\n");
}

TEST_F(JobTest, AFileThatIsNotThereIsNamed) {
  const absl::StatusOr<std::string> count = CountFile("/nowhere/f");
  EXPECT_TRUE(absl::IsNotFound(count.status()));
  EXPECT_THAT(count.status().message(), HasSubstr("/nowhere/f"));
}

TEST_F(JobTest, ACommandGetsThePathLastAndItsOutputIsTaken) {
  EXPECT_EQ(RunCommandOnFile({"echo", "-n", "of"}, "a  path", 100).value(), "of a  path");
}

TEST_F(JobTest, ACommandThatFailsSaysHow) {
  EXPECT_THAT(RunCommandOnFile({"false"}, "f", 100).status().message(), HasSubstr("exited with code 1"));
  EXPECT_THAT(RunCommandOnFile({"sh", "-c", "kill -9 $$"}, "f", 100).status().message(),
              HasSubstr("SIGKILL"));
  EXPECT_TRUE(absl::IsNotFound(RunCommandOnFile({"no-such-program"}, "f", 100).status()));
}

TEST_F(JobTest, TooMuchOutputEndsTheCommand) {
  EXPECT_TRUE(RunCommandOnFile({"echo", "-n"}, "12345", 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(RunCommandOnFile({"echo", "-n"}, "123456", 5).status()));
  EXPECT_TRUE(
      absl::IsResourceExhausted(RunCommandOnFile({"cat", "/dev/zero"}, "/dev/zero", 1 << 20).status()));
}

}  // namespace
}  // namespace ko::demos
