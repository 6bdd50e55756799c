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
  Results results({"a", "b"}, {.keep_texts = true});
  results.Add({"a", true, "first\n"});
  results.Add({"a", true, "second\n"});
  results.Add({"a", false, "failed"});
  EXPECT_EQ(results.succeeded(), 1u);
  EXPECT_EQ(results.failed(), 0u);
  EXPECT_EQ(results.done(), 1u);
}

TEST(ResultsTest, AResultOfNoJobIsIgnored) {
  Results results({"a"}, {.keep_texts = true});
  results.Add({"b", true, "x"});
  results.Add({"", true, "x"});
  EXPECT_EQ(results.done(), 0u);
  EXPECT_EQ(results.size(), 1u);
}

TEST(ResultsTest, AJobOfSomebodyElsesCountsWhereItMay) {
  Results results({"b"}, {.of_others = true});
  results.Add({"a", true, "x"});
  results.Add({"a", true, "x"});
  results.Add({"c", false, "why"});
  EXPECT_EQ(results.size(), 3u);
  EXPECT_EQ(results.succeeded(), 1u);
  EXPECT_EQ(results.failed(), 1u);
}

TEST(ResultsTest, TextsAreWrittenSortedByPath) {
  const testing::TempDir folder;
  Results results({"a", "b", "c", "d"}, {.keep_texts = true});
  results.Add({"d", true, "three\n"});
  results.Add({"b", false, "why"});
  results.Add({"a", true, "zero\n"});
  const std::string file = folder.Write("out", "what was there");
  ASSERT_TRUE(results.WriteTo(file).ok());
  EXPECT_EQ(testing::ReadFile(file), "zero\nthree\n");
}

TEST(ResultsTest, AFileThatCannotBeWrittenIsAnErrorAndStaysAsItWas) {
  Results results({"a"}, {.keep_texts = true});
  results.Add({"a", true, "x"});
  EXPECT_TRUE(absl::IsNotFound(results.WriteTo("/nowhere/out")));
  EXPECT_FALSE(results.WriteTo("/dev/full/out").ok());
}

TEST(ResultsTest, FailuresNameThePathAndTheReason) {
  Results results({"a", "b", "c"}, {});
  EXPECT_THAT(results.Failures(10), IsEmpty());
  results.Add({"c", false, "no c"});
  results.Add({"a", false, "no a"});
  EXPECT_THAT(results.Failures(10), ElementsAre("a: no a", "c: no c"));
  EXPECT_THAT(results.Failures(1), ElementsAre("a: no a"));
}

}  // namespace
}  // namespace ko::demos
