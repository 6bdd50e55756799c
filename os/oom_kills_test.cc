#include "ko/os/oom_kills.h"

#include <gtest/gtest.h>

#include <optional>

namespace ko::os {
namespace {

TEST(OomKillsTest, NumberIsFoundInTheFilesOfBothVersions) {
  EXPECT_EQ(ParseOomKills("low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 1\n"), 3u);
  EXPECT_EQ(ParseOomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 17\n"), 17u);
  EXPECT_EQ(ParseOomKills("oom_kill 18446744073709551615"), 18446744073709551615u);
}

TEST(OomKillsTest, TextWithoutTheNumberHasNone) {
  for (const char* text : {"", "\n", "oom_kill", "oom_kill ", "oom_kill x", "oom_kill -1",
                           "oom_kill_disable 1\n", "oom_kill 99999999999999999999"}) {
    EXPECT_EQ(ParseOomKills(text), std::nullopt) << text;
  }
}

TEST(OomKillsTest, CounterNeverGoesDown) {
  const OomKills kills = OomKills::Open();
  const std::optional<uint64_t> count = kills.Count();
  if (!count.has_value()) GTEST_SKIP() << "the kernel does not tell it here";
  EXPECT_GE(kills.Count(), count);
}

}  // namespace
}  // namespace ko::os
