#include "demos/parallel_map/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

TEST(DigestTest, CountsAsWcDoes) {
  testing::TempDir files;
  files.Write("a", "one two\n three\nfour");
  const absl::StatusOr<Digest> digest = DigestFile(files.File("a"), false);
  ASSERT_THAT(digest, testing::IsOk());
  EXPECT_EQ(digest->lines, 2u);
  EXPECT_EQ(digest->words, 4u);
  EXPECT_EQ(digest->bytes, 19u);
}

TEST(DigestTest, TheChecksumIsCrc32c) {
  testing::TempDir files;
  files.Write("check", "123456789");
  EXPECT_EQ(DigestFile(files.File("check"), false)->crc32c, 0xE3069283u);  // the check value of the algorithm
}

TEST(DigestTest, AWordMayReachAcrossReads) {
  testing::TempDir files;
  files.Write("long", std::string(200'000, 'x'));
  EXPECT_EQ(DigestFile(files.File("long"), false)->words, 1u);
}

TEST(DigestTest, AMissingFileIsNotFound) {
  EXPECT_THAT(DigestFile("/nowhere/at/all", false), testing::StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace ko::demos
