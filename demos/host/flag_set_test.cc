#include "demos/host/flag_set.h"

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ko::demos {
namespace {

using ::testing::HasSubstr;

struct Values {
  std::string text = "old";
  int number = 1;
  bool on = false;
  absl::Duration time = absl::Seconds(1);
};

absl::Status ParseInto(Values& values, std::vector<std::string> args) {
  FlagSet flags;
  flags.Add("text", &values.text, "a text");
  flags.Add("number", &values.number, "a number");
  flags.Add("on", &values.on, "yes or no");
  flags.Add("time", &values.time, "a time");
  return flags.Parse(args);
}

TEST(FlagSetTest, NoArgumentsLeaveTheDefaults) {
  Values values;
  EXPECT_TRUE(ParseInto(values, {}).ok());
  EXPECT_EQ(values.text, "old");
  EXPECT_EQ(values.number, 1);
}

TEST(FlagSetTest, ValuesFollowAnEqualsSignOrStandAlone) {
  Values values;
  EXPECT_TRUE(ParseInto(values, {"--text=a=b c", "--number", "-7", "--time=2.5s"}).ok());
  EXPECT_EQ(values.text, "a=b c");
  EXPECT_EQ(values.number, -7);
  EXPECT_EQ(values.time, absl::Milliseconds(2500));
}

TEST(FlagSetTest, BooleansNeedNoValue) {
  Values values;
  EXPECT_TRUE(ParseInto(values, {"--on"}).ok());
  EXPECT_TRUE(values.on);
  EXPECT_TRUE(ParseInto(values, {"--noon"}).ok());
  EXPECT_FALSE(values.on);
  EXPECT_TRUE(ParseInto(values, {"--on=true"}).ok());
  EXPECT_TRUE(values.on);
}

TEST(FlagSetTest, AnEmptyTextIsAValue) {
  Values values;
  EXPECT_TRUE(ParseInto(values, {"--text="}).ok());
  EXPECT_EQ(values.text, "");
}

TEST(FlagSetTest, TheLastOfTwoCounts) {
  Values values;
  EXPECT_TRUE(ParseInto(values, {"--number=2", "--number=3"}).ok());
  EXPECT_EQ(values.number, 3);
}

TEST(FlagSetTest, WhatIsNotUnderstoodIsNamed) {
  const struct {
    std::vector<std::string> args;
    const char* named;
  } cases[] = {
      {{"--unknown=1"}, "'--unknown=1': there are --text, --number"},
      {{"--unknown=amqp://user:password@host/"}, "'--unknown=amqp://': there are --text, --number"},
      {{"word"}, "'word'"},
      {{"-number=1"}, "'-number=1'"},
      {{"--"}, "'--'"},
      {{"--number=many"}, "--number=many"},
      {{"--number=99999999999"}, "--number=99999999999"},
      {{"--number="}, "--number="},
      {{"--number"}, "--number needs a value"},
      {{"--nonumber"}, "'--nonumber'"},
      {{"--on=perhaps"}, "--on=perhaps"},
  };
  for (const auto& each : cases) {
    Values values;
    const absl::Status status = ParseInto(values, each.args);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr(each.named));
    EXPECT_EQ(values.number, 1);
  }
}

TEST(FlagSetTest, HelpNamesEachFlagWithItsDefault) {
  std::string text;
  int number = 42;
  FlagSet flags;
  flags.Add("text", &text, "what it is for");
  flags.Add("number", &number, "how many");
  EXPECT_EQ(flags.Help(),
            "  --text  (default: none)\n      what it is for\n  --number  (default: 42)\n      how many\n");
}

}  // namespace
}  // namespace ko::demos
