// The lines of C++ in README.md are lines that are compiled: each of its blocks stands in one of the demos.

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ko/testing/code_blocks.h"
#include "ko/testing/read_all.h"

namespace ko::demos {
namespace {

TEST(ReadmeTest, ItsCppBlocksStandInTheDemos) {
  std::string sources;
  for (const char* demo :
       {"hello", "wait_all", "daemon", "respawn", "amqp_worker", "shared_memory", "semaphore"}) {
    sources += testing::ReadFile(absl::StrCat("demos/", demo, "/", demo, ".cc"));
  }
  const testing::CodeBlocks blocks = testing::CheckCodeBlocks(testing::ReadFile("README.md"), sources);
  EXPECT_THAT(blocks.missing, ::testing::IsEmpty());
  EXPECT_GE(blocks.count, 7);
}

}  // namespace
}  // namespace ko::demos
