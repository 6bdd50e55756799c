#include "ko/process/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOkAndHolds;
using testing::StatusIs;

enum class Colour { kRed, kGreen };

struct Point {
  int x;
  double y;
  bool operator==(const Point&) const = default;
};

class NoDefault {
 public:
  explicit NoDefault(int value) : value_(value) {}
  bool operator==(const NoDefault&) const = default;

 private:
  int value_;
};

static_assert(std::is_same_v<PackedAs<const char (&)[4]>, std::string>);
static_assert(std::is_same_v<PackedAs<std::string_view>, std::string>);
static_assert(std::is_same_v<PackedAs<absl::Span<const std::string_view>>, std::vector<std::string>>);
static_assert(std::is_same_v<PackedAs<const std::pair<int, absl::Span<const char>>&>,
                             std::pair<int, std::vector<char>>>);

template <class... T>
void ExpectRoundTrip(const T&... values) {
  const std::string bytes = Pack(values...);
  EXPECT_EQ(bytes.size(), PackedBytes(values...));
  EXPECT_THAT(Unpack<T...>(bytes), IsOkAndHolds(std::tuple<T...>(values...)));
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(Unpack<T...>(std::string_view(bytes).substr(0, length)),
                StatusIs(absl::StatusCode::kDataLoss))
        << "cut to " << length;
  }
  EXPECT_THAT(Unpack<T...>(bytes + '\0'), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ArgumentsTest, NothingIsNoBytes) {
  EXPECT_EQ(Pack(), "");
  EXPECT_TRUE(Unpack<>("").ok());
  EXPECT_THAT(Unpack<>("x"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1 bytes")));
}

TEST(ArgumentsTest, TriviallyCopyableValuesArriveAsTheyWere) {
  ExpectRoundTrip(true, 'c', int8_t{-1}, std::numeric_limits<uint64_t>::max(), 0.5, Colour::kGreen);
  ExpectRoundTrip(Point{1, 2.5}, NoDefault(7), std::array<Point, 2>{Point{1, 2}, Point{3, 4}});
  ExpectRoundTrip(absl::Seconds(3), absl::UnixEpoch());
}

TEST(ArgumentsTest, StringsArriveWithAllTheirBytes) {
  ExpectRoundTrip(std::string(), std::string("a\0b", 3), std::string(10'000, 'x'));
}

TEST(ArgumentsTest, ContainersArriveNested) {
  ExpectRoundTrip(std::vector<int>{}, std::vector<int>{1, 2, 3}, std::vector<bool>{true, false},
                  std::vector<NoDefault>{NoDefault(1), NoDefault(2)});
  ExpectRoundTrip(std::vector<std::vector<std::string>>{{}, {"a", ""}, {"b"}});
  ExpectRoundTrip(std::optional<int>(), std::optional<int>(5), std::optional<std::string>("five"),
                  std::optional<std::optional<bool>>(std::optional<bool>()));
  ExpectRoundTrip(std::pair<int, std::string>(1, "one"), std::tuple<>(),
                  std::tuple<std::string, std::vector<std::pair<int, bool>>>("x", {{1, true}}));
  ExpectRoundTrip(std::array<std::string, 2>{"a", "b"}, std::vector<std::tuple<>>(3),
                  std::array<std::optional<int>, 2>{std::nullopt, 3});
}

TEST(ArgumentsTest, WhatRefersToItsValueArrivesAsOneThatOwnsIt) {
  const std::vector<int> numbers = {1, 2, 3};
  const std::vector<std::string_view> views = {"a", "b"};
  char text[] = "array";
  const std::string bytes =
      Pack("literal", std::string_view("view"), static_cast<char*>(text), absl::MakeConstSpan(numbers),
           std::span<const int>(numbers).first(2), views, std::optional<const char*>("maybe"));
  EXPECT_THAT((Unpack<std::string, std::string_view, const char*, absl::Span<const int>, std::vector<int>,
                      std::vector<std::string>, std::optional<std::string>>(bytes)),
              IsOkAndHolds(std::tuple("literal", "view", "array", numbers, std::vector<int>{1, 2},
                                      std::vector<std::string>{"a", "b"}, std::optional("maybe"))));
}

TEST(ArgumentsTest, ANullTextArrivesAsAnEmptyString) {
  EXPECT_THAT(Unpack<std::string>(Pack(static_cast<const char*>(nullptr))), IsOkAndHolds(std::tuple("")));
}

TEST(ArgumentsTest, ALengthBeyondTheBytesIsRefused) {
  for (const uint64_t length :
       {uint64_t{9}, uint64_t{1} << 32, uint64_t{1} << 61, std::numeric_limits<uint64_t>::max()}) {
    const std::string bytes = Pack(length) + "12345678";
    EXPECT_THAT(Unpack<std::string>(bytes), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(Unpack<std::vector<int64_t>>(bytes), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(Unpack<std::vector<std::string>>(bytes), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(Unpack<std::vector<std::tuple<>>>(bytes), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(ArgumentsTest, ABoolThatIsNeitherIsRefused) {
  EXPECT_THAT(Unpack<bool>("\2"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Unpack<std::vector<bool>>(Pack(uint64_t{1}) + "\2"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Unpack<std::optional<int>>("\2" + Pack(1)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ArgumentsTest, ValuesArePackedStraightIntoABuffer) {
  const std::string text(100, 'x');
  std::vector<char> buffer(PackedBytes(1, text));
  ASSERT_THAT(PackInto(absl::MakeSpan(buffer), 1, text), IsOkAndHolds(buffer.size()));
  EXPECT_EQ(std::string_view(buffer.data(), buffer.size()), Pack(1, text));
}

TEST(ArgumentsTest, ABufferThatIsTooSmallIsNotOverrun) {
  const std::string text(100, 'x');
  std::vector<char> buffer(PackedBytes(1, text, 2), '!');
  for (size_t length = 0; length < buffer.size(); ++length) {
    EXPECT_THAT(PackInto(absl::MakeSpan(buffer).first(length), 1, text, 2),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("too small for 116")));
    EXPECT_EQ(buffer.back(), '!');
  }
}

}  // namespace
}  // namespace ko
