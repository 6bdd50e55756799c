#include "ko/os/process_stat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string>

namespace ko::os {
namespace {

TEST(ProcessStatTest, FieldsAreFoundBehindAnyName) {
  for (const char* name : {"(sh)", "()", "(a b)", "(x) S 1 2 3)", "(\n)"}) {
    const std::string text =
        std::string("77 ") + name + " S 5 6 7 34816 6 4194304 1 2 3 4 5 6 7 8 20 0 3 0 123456789012 9 10\n";
    const std::optional<ProcessStat> stat = ParseProcessStat(text);
    ASSERT_TRUE(stat.has_value()) << name;
    EXPECT_EQ(stat->pid, 77);
    EXPECT_EQ(stat->letter, 'S');
    EXPECT_EQ(stat->parent, 5);
    EXPECT_EQ(stat->process_group, 6);
    EXPECT_EQ(stat->session, 7);
    EXPECT_EQ(stat->threads, 3);
    EXPECT_FALSE(stat->exiting);
    EXPECT_EQ(stat->start_time_ticks, 123456789012u);
  }
}

TEST(ProcessStatTest, OneOnItsWayOutIsTold) {
  const std::optional<ProcessStat> stat =
      ParseProcessStat("77 (sh) R 5 6 7 34816 6 4194308 1 2 3 4 5 6 7 8 20 0 1 0 12 9 10\n");
  ASSERT_TRUE(stat.has_value());
  EXPECT_TRUE(stat->exiting);
}

TEST(ProcessStatTest, TextThatIsCutOffOrNoneIsNothing) {
  for (const char* text : {"", "77", "77 (sh", "77 (sh)", "77 (sh) S", "77 (sh) S 5 6 7", "x (sh) S 5 6 7",
                           ") S 5 6 7 34816 6 4194304 1 2 3 4 5 6 7 8 20 0 3 0 9"}) {
    EXPECT_EQ(ParseProcessStat(text), std::nullopt) << text;
  }
}

TEST(ProcessStatTest, OneWithThreadsThatRunHasNotEnded) {
  const struct {
    char letter;
    int threads;
    bool ended;
  } kCases[] = {{'Z', 1, true},  {'Z', 0, true},  {'X', 0, true}, {'Z', 2, false},
                {'S', 1, false}, {'T', 1, false}, {'R', 9, false}};
  for (const auto& each : kCases) {
    ProcessStat stat = {};
    stat.letter = each.letter;
    stat.threads = each.threads;
    EXPECT_EQ(stat.HasEnded(), each.ended) << each.letter << each.threads;
  }
}

TEST(ProcessStatTest, KernelTellsOfThisProcessAndOfNoOtherByItsPid) {
  const std::optional<ProcessStat> stat = ReadProcessStat(::getpid());
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->pid, ::getpid());
  EXPECT_EQ(stat->parent, ::getppid());
  EXPECT_EQ(stat->process_group, ::getpgrp());
  EXPECT_EQ(stat->session, ::getsid(0));
  EXPECT_EQ(ReadThreadLetters(::getpid()).size(), static_cast<size_t>(stat->threads));
  EXPECT_TRUE(ProcIsOurs());
  for (const pid_t nobody : {-1, 0, 1 << 30}) {
    EXPECT_EQ(ReadProcessStat(nobody), std::nullopt) << nobody;
    EXPECT_TRUE(ReadThreadLetters(nobody).empty()) << nobody;
  }
}

}  // namespace
}  // namespace ko::os
