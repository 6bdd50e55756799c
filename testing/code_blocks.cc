#include "ko/testing/code_blocks.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ko::testing {
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

}  // namespace

CodeBlocks CheckCodeBlocks(std::string_view markdown, std::string_view sources) {
  const std::string plain_sources = Plain(sources);
  const std::vector<std::string_view> parts = absl::StrSplit(markdown, "```");
  CodeBlocks blocks;
  for (size_t i = 1; i < parts.size(); i += 2) {
    if (!absl::StartsWith(parts[i], "cpp\n")) continue;
    ++blocks.count;
    for (std::string_view piece : absl::StrSplit(parts[i].substr(4), "// ...\n")) {
      if (!absl::StrContains(plain_sources, Plain(piece))) blocks.missing.emplace_back(piece);
    }
  }
  return blocks;
}

}  // namespace ko::testing
