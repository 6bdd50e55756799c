#include "ko/benchmarks/reporting/run_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::benchmarks {
namespace {

using ::testing::HasSubstr;
using testing::IsOkAndHolds;

class RunProgramTest : public testing::LeakCheckedTest {};

TEST_F(RunProgramTest, ItsOutputIsWhatItPrints) {
  EXPECT_THAT(RunProgram({"cat"}, "a\nb"), IsOkAndHolds("a\nb"));
  EXPECT_THAT(RunProgram({"true"}, ""), IsOkAndHolds(""));
}

TEST_F(RunProgramTest, MuchInputAndMuchOutputDoNotWaitForEachOther) {
  const std::string much(4 << 20, 'x');
  EXPECT_THAT(RunProgram({"cat"}, much), IsOkAndHolds(much));
}

TEST_F(RunProgramTest, AFailureTellsCodeAndErrors) {
  const auto output = RunProgram({"sh", "-c", "echo out; echo wrong >&2; exit 3"}, "");
  EXPECT_TRUE(absl::IsInternal(output.status()));
  EXPECT_THAT(output.status().message(), HasSubstr("sh exited with code 3: wrong"));
}

TEST_F(RunProgramTest, AProgramThatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(RunProgram({"ko-no-such-program"}, "").status()));
}

TEST_F(RunProgramTest, NoProgramIsAnError) { EXPECT_FALSE(RunProgram({}, "").ok()); }

}  // namespace
}  // namespace ko::benchmarks
