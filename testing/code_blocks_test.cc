#include "ko/testing/code_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ko::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kSource = "void F() {\n  int a = 1;\n\n  int b = 2;\n  int c = 3;\n}\n";

TEST(CodeBlocksTest, LinesThatStandInTheSourceAreFound) {
  const CodeBlocks blocks = CheckCodeBlocks("text\n```cpp\nint a = 1;\nint b = 2;\n```\nmore\n", kSource);
  EXPECT_EQ(blocks.count, 1);
  EXPECT_THAT(blocks.missing, IsEmpty());
}

TEST(CodeBlocksTest, WhatStandsNowhereIsTold) {
  const CodeBlocks blocks = CheckCodeBlocks("```cpp\nint a = 1;\n```\n```cpp\nint d = 4;\n```\n", kSource);
  EXPECT_EQ(blocks.count, 2);
  EXPECT_THAT(blocks.missing, ElementsAre("int d = 4;\n"));
}

TEST(CodeBlocksTest, ThreeDotsStandForWhatIsLeftOut) {
  EXPECT_THAT(CheckCodeBlocks("```cpp\nint a = 1;\n// ...\nint c = 3;\n```\n", kSource).missing, IsEmpty());
  EXPECT_THAT(CheckCodeBlocks("```cpp\nint a = 1;\nint c = 3;\n```\n", kSource).missing,
              ElementsAre("int a = 1;\nint c = 3;\n"));
}

TEST(CodeBlocksTest, OtherLanguagesAreLeftAlone) {
  EXPECT_EQ(CheckCodeBlocks("```php\n$a = 1;\n```\n", kSource).count, 0);
  EXPECT_EQ(CheckCodeBlocks("", kSource).count, 0);
}

}  // namespace
}  // namespace ko::testing
