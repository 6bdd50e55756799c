#include "ko/process/output_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace ko {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

OutputTail With(size_t capacity_bytes, std::string_view output) {
  OutputTail tail(capacity_bytes);
  tail.Append(output);
  return tail;
}

TEST(OutputTailTest, KeepsTheLastBytesWhateverThePiecesTheyCameIn) {
  std::string all;
  for (int i = 0; i < 200; ++i) all += static_cast<char>('a' + i % 26);
  for (size_t capacity : {0u, 1u, 2u, 7u, 26u, 199u, 200u, 201u}) {
    for (size_t piece : {1u, 2u, 3u, 7u, 8u, 25u, 26u, 27u, 200u}) {
      OutputTail tail(capacity);
      for (size_t at = 0; at < all.size(); at += piece) {
        tail.Append(std::string_view(all).substr(at, piece));
        const size_t seen = std::min(at + piece, all.size());
        const size_t kept = std::min(seen, capacity);
        ASSERT_EQ(tail.Text(), all.substr(seen - kept, kept)) << capacity << " in pieces of " << piece;
        ASSERT_EQ(tail.total_bytes(), seen);
        ASSERT_EQ(tail.size_bytes(), kept);
      }
    }
  }
}

TEST(OutputTailTest, LastLinesAreThoseAtTheEnd) {
  EXPECT_THAT(With(100, "one\ntwo\nthree\n").LastLines(2), ElementsAre("two", "three"));
  EXPECT_THAT(With(100, "one\ntwo\nthree\n").LastLines(9), ElementsAre("one", "two", "three"));
  EXPECT_THAT(With(100, "one\ntwo\nthr").LastLines(2), ElementsAre("two", "thr"));
  EXPECT_THAT(With(100, "one\n\n").LastLines(2), ElementsAre("one", ""));
  EXPECT_THAT(With(100, "\n").LastLines(5), ElementsAre(""));
  EXPECT_THAT(With(100, "one").LastLines(0), IsEmpty());
  EXPECT_THAT(With(100, "").LastLines(5), IsEmpty());
}

TEST(OutputTailTest, LineWhoseBeginningIsDroppedIsShownFromThere) {
  EXPECT_THAT(With(7, "one\ntwo\nthree\n").LastLines(9), ElementsAre("", "three"));
  EXPECT_THAT(With(8, "one\ntwo\nthree\n").LastLines(9), ElementsAre("o", "three"));
}

TEST(OutputTailTest, ClearedIsAsNew) {
  OutputTail tail = With(3, "abcdefg");
  tail.Append("h");
  tail.Clear();
  EXPECT_EQ(tail.total_bytes(), 0u);
  tail.Append("xy");
  EXPECT_EQ(tail.Text(), "xy");
}

}  // namespace
}  // namespace ko
