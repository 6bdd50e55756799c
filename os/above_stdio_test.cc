#include "ko/os/above_stdio.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using testing::InChild;
using testing::IsOk;

class AboveStdioTest : public testing::LeakCheckedTest {};

TEST_F(AboveStdioTest, MovesOnlyWhatIsInTheWay) {
  UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const int before = fd.get();
  ASSERT_GT(before, 2);
  EXPECT_THAT(MoveAboveStdio(fd), IsOk());
  EXPECT_EQ(fd.get(), before);
}

TEST_F(AboveStdioTest, MovesWhatIsInThePlaceOfAStream) {
  for (int stream = 0; stream < 3; ++stream) {
    InChild([stream] {
      ::close(stream);
      UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
      EXPECT_EQ(fd.get(), stream);
      EXPECT_THAT(MoveAboveStdio(fd), IsOk());
      EXPECT_GT(fd.get(), 2);
      EXPECT_EQ(::fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
      EXPECT_EQ(::fcntl(stream, F_GETFD), -1) << "free again";
    });
  }
}

TEST_F(AboveStdioTest, CopyLeavesTheOriginal) {
  absl::StatusOr<UniqueFd> copy = CopyAboveStdio(0);
  ASSERT_THAT(copy, IsOk());
  EXPECT_GT(copy->get(), 2);
  EXPECT_EQ(::fcntl(copy->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_NE(::fcntl(0, F_GETFD), -1);
}

TEST_F(AboveStdioTest, DescriptorThatIsNotOpenIsAnError) {
  UniqueFd none;
  EXPECT_FALSE(MoveAboveStdio(none).ok());
  EXPECT_FALSE(CopyAboveStdio(987).ok());
}

}  // namespace
}  // namespace ko::os
