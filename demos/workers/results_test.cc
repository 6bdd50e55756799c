#include "demos/workers/results.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ResultsTest, TheFirstResultOfAJobCounts) {
  Results results(2, /*keep_texts=*/true);
  results.Add({0, true, "first\n"});
  results.Add({0, true, "second\n"});
  results.Add({0, false, "failed"});
  EXPECT_EQ(results.succeeded(), 1u);
  EXPECT_EQ(results.failed(), 0u);
  EXPECT_EQ(results.done(), 1u);
}

TEST(ResultsTest, AResultOfNoJobIsIgnored) {
  Results results(1, /*keep_texts=*/true);
  results.Add({1, true, "x"});
  results.Add({0xffffffff, true, "x"});
  EXPECT_EQ(results.done(), 0u);
}

TEST(ResultsTest, TextsAreWrittenInTheOrderOfTheJobs) {
  const testing::TempDir folder;
  Results results(4, /*keep_texts=*/true);
  results.Add({3, true, "three\n"});
  results.Add({1, false, "why"});
  results.Add({0, true, "zero\n"});
  const std::string file = folder.Write("out", "what was there");
  ASSERT_TRUE(results.WriteTo(file).ok());
  EXPECT_EQ(testing::ReadFile(file), "zero\nthree\n");
}

TEST(ResultsTest, AFileThatCannotBeWrittenIsAnErrorAndStaysAsItWas) {
  Results results(1, /*keep_texts=*/true);
  results.Add({0, true, "x"});
  EXPECT_TRUE(absl::IsNotFound(results.WriteTo("/nowhere/out")));
  EXPECT_FALSE(results.WriteTo("/dev/full/out").ok());
}

TEST(ResultsTest, FailuresNameThePathAndTheReason) {
  Results results(3, /*keep_texts=*/false);
  EXPECT_THAT(results.Failures({"a", "b", "c"}, 10), IsEmpty());
  results.Add({2, false, "no c"});
  results.Add({0, false, "no a"});
  EXPECT_THAT(results.Failures({"a", "b", "c"}, 10), ElementsAre("a: no a", "c: no c"));
  EXPECT_THAT(results.Failures({"a", "b", "c"}, 1), ElementsAre("a: no a"));
}

}  // namespace
}  // namespace ko::demos
