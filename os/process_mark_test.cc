#include "ko/os/process_mark.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"

namespace ko::os {
namespace {

using ::ko::testing::FailSyscall;
using ::ko::testing::InChild;

// The first of the tests: once there is a page, forked children have it as well.
TEST(ProcessMarkTest, WithoutAPageItTellsProcessesApartNevertheless) {
  const auto result = InChild([] {
    FailSyscall(SYS_madvise, EINVAL);
    const uint64_t mine = ProcessMark();
    EXPECT_NE(mine, 0u);
    EXPECT_EQ(ProcessMark(), mine);
    EXPECT_TRUE(IsProcessMark(mine));
    const auto child = InChild([&] {
      EXPECT_FALSE(IsProcessMark(mine));
      EXPECT_NE(ProcessMark(), mine);
    });
    EXPECT_TRUE(child.ok());
  });
  EXPECT_TRUE(result.ok());
}

TEST(ProcessMarkTest, WordInItsPageIsZeroInAChild) {
  int* const word = WordThatNoForkCopies();
  ASSERT_NE(word, nullptr);
  *word = 7;
  const auto result = InChild([word] {
    EXPECT_EQ(WordThatNoForkCopies(), word);
    EXPECT_EQ(*word, 0);
    *word = 8;
  });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(*word, 7);
}

TEST(ProcessMarkTest, StaysTheSameInOneProcess) {
  const uint64_t mark = ProcessMark();
  EXPECT_NE(mark, 0u);
  EXPECT_EQ(ProcessMark(), mark);
  EXPECT_TRUE(IsProcessMark(mark));
  std::thread([&] { EXPECT_EQ(ProcessMark(), mark); }).join();
}

TEST(ProcessMarkTest, DiffersFromEveryAncestors) {
  const uint64_t mine = ProcessMark();
  const auto result = InChild([&] {
    EXPECT_FALSE(IsProcessMark(mine));
    const uint64_t childs = ProcessMark();
    EXPECT_NE(childs, mine);
    EXPECT_TRUE(IsProcessMark(childs));
    const auto grandchild = InChild([&] {
      EXPECT_NE(ProcessMark(), mine);
      EXPECT_NE(ProcessMark(), childs);
    });
    EXPECT_TRUE(grandchild.ok());
    EXPECT_EQ(ProcessMark(), childs);
  });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(ProcessMark(), mine);
}

TEST(ProcessMarkTest, DiffersInAChildMadeWithoutTheCLibrary) {
  const uint64_t mine = ProcessMark();
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  ASSERT_NE(pid, -1);
  if (pid == 0) ::_exit(ProcessMark() != mine ? 0 : 1);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ko::os
