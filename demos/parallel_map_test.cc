// The demo as a user runs it: the real program, real files, a real crash.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ParallelMapTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    for (int i = 100; i < 200; ++i) files_.Write(absl::StrCat("file ", i), std::string(i, 'x') + "\n");
    testing::LeakCheckedTest::SetUp();
  }
  RunningDemo::Result Run(std::vector<std::string> more) {
    std::vector<std::string> args = {"run", "parallel_map", "--path=" + files_.path(), "--workers=2",
                                     "--out=" + results_.File("result")};
    args.insert(args.end(), more.begin(), more.end());
    return RunDemo(args);
  }
  std::string Output() const { return testing::ReadFile(results_.File("result")); }

 private:
  testing::TempDir files_;
  testing::TempDir results_;
};

TEST_F(ParallelMapTest, EveryFileIsDigested) {
  const auto result = Run({});
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("100 of 100 files"), HasSubstr("100 lines, 100 words, 15050 bytes; 0 failed")));
  EXPECT_THAT(Output(), AllOf(HasSubstr(" 1 1 101 "), HasSubstr(" 1 1 200 ")));
}

TEST_F(ParallelMapTest, ACrashCostsOneFile) {
  const auto result = Run({"--crash"});
  EXPECT_EQ(result.status, ExitStatus::Exited(1));
  EXPECT_THAT(result.out, AllOf(HasSubstr("99 of 100 files"), HasSubstr("; 1 failed")));
  EXPECT_THAT(result.err, AllOf(HasSubstr("file 150: "), HasSubstr("killed by SIGKILL")));
}

TEST_F(ParallelMapTest, AFolderThatIsMissingIsNamed) {
  const auto result = RunDemo({"run", "parallel_map", "--path=/nowhere/at/all"});
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.err, HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace ko::demos
