// The lines of C++ in README.md are lines that are compiled: each of its blocks stands in one of the demos.

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "ko/testing/read_all.h"

namespace ko::demos {
namespace {

// The text without indentation and empty lines.
std::string Plain(std::string_view text) {
  std::string plain;
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) absl::StrAppend(&plain, line, "\n");
  }
  return plain;
}

TEST(ReadmeTest, ItsCppBlocksStandInTheDemos) {
  std::string sources;
  for (const char* demo : {"hello", "wait_all", "daemon", "respawn", "shared_memory", "semaphore"}) {
    sources += Plain(testing::ReadFile(absl::StrCat("demos/", demo, "/", demo, ".cc")));
  }
  const std::string readme = testing::ReadFile("README.md");
  const std::vector<std::string_view> parts = absl::StrSplit(readme, "```");
  int blocks = 0;
  for (size_t i = 1; i < parts.size(); i += 2) {
    if (!absl::StartsWith(parts[i], "cpp\n")) continue;
    ++blocks;
    for (std::string_view piece : absl::StrSplit(parts[i].substr(4), "// ...\n")) {
      EXPECT_TRUE(absl::StrContains(sources, Plain(piece))) << "not in a demo:\n" << piece;
    }
  }
  EXPECT_GE(blocks, 6);
}

}  // namespace
}  // namespace ko::demos
