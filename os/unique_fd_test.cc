#include "ko/os/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <utility>

#include "ko/testing/leaks.h"

namespace ko::os {
namespace {

class UniqueFdTest : public testing::LeakCheckedTest {
 protected:
  static int Open() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
  static bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
};

TEST_F(UniqueFdTest, OwnsNothingAtFirst) {
  UniqueFd fd;
  EXPECT_FALSE(fd.valid());
  EXPECT_EQ(fd.get(), -1);
  fd.reset();
  EXPECT_EQ(fd.release(), -1);
}

TEST_F(UniqueFdTest, ClosesAtItsEnd) {
  const int raw = Open();
  {
    const UniqueFd fd(raw);
    EXPECT_EQ(fd.get(), raw);
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST_F(UniqueFdTest, ResetClosesTheOldOne) {
  const int first = Open(), second = Open();
  UniqueFd fd(first);
  fd.reset(second);
  EXPECT_FALSE(IsOpen(first));
  EXPECT_EQ(fd.get(), second);
  fd.reset();
  EXPECT_FALSE(IsOpen(second));
  EXPECT_FALSE(fd.valid());
}

TEST_F(UniqueFdTest, ReleaseGivesItAway) {
  const int raw = Open();
  {
    UniqueFd fd(raw);
    EXPECT_EQ(fd.release(), raw);
    EXPECT_FALSE(fd.valid());
  }
  EXPECT_TRUE(IsOpen(raw));
  UniqueFd{raw};
}

TEST_F(UniqueFdTest, MovesLeaveNothingBehind) {
  const int raw = Open();
  UniqueFd first(raw);
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first.valid());
  EXPECT_EQ(second.get(), raw);
  UniqueFd third(Open());
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_FALSE(second.valid());
  EXPECT_FALSE(IsOpen(replaced));
  EXPECT_EQ(third.get(), raw);
  UniqueFd& same = third;
  third = std::move(same);
  EXPECT_EQ(third.get(), raw);
  EXPECT_TRUE(IsOpen(raw));
}

}  // namespace
}  // namespace ko::os
