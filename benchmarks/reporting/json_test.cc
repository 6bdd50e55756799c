#include "ko/benchmarks/reporting/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "ko/testing/status_matchers.h"

namespace ko::benchmarks {
namespace {

using testing::StatusIs;

TEST(JsonTest, ReadsWhatItWrites) {
  const Json value(Json::Object{{"text", "a \"b\"\\c"},
                                {"number", 0.1},
                                {"yes", true},
                                {"none", Json()},
                                {"list", Json::Array{1.0, -2e300, "x"}},
                                {"empty", Json::Object{}}});
  const absl::StatusOr<Json> read = Json::Parse(value.ToString());
  ASSERT_THAT(read, testing::IsOk());
  EXPECT_EQ(read->ToString(), value.ToString());
  EXPECT_EQ((*read)["text"].text(), "a \"b\"\\c");
  EXPECT_EQ((*read)["number"].number(), 0.1);
  ASSERT_EQ((*read)["list"].items().size(), 3u);
  EXPECT_EQ((*read)["list"].items()[1].number(), -2e300);
}

TEST(JsonTest, WhatIsNotThereSaysNothing) {
  const Json value = *Json::Parse("{\"a\": 1}");
  EXPECT_EQ(value["b"].text(), "");
  EXPECT_EQ(value["a"]["b"].number(), 0);
  EXPECT_TRUE(value["a"].items().empty());
}

TEST(JsonTest, WhatIsNoJsonIsRefusedWithThePlace) {
  for (const char* const text :
       {"", "{", "[1,]", "{\"a\"}", "\"open", "\"open\\", "nul", "1 2", "{\"a\":1,}", "]"}) {
    EXPECT_THAT(Json::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("byte")))
        << text;
  }
  EXPECT_THAT(Json::Parse(std::string(100'000, '[')), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ko::benchmarks
