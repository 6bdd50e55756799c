#include "ko/process/listen_fds.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ListenFdsTest : public testing::LeakCheckedTest {
 protected:
  // In a child that has `count` descriptors from 3 on and nothing above, with a LISTEN_PID of its own.
  template <class Run>
  void InProcessWithFds(int count, Run run) {
    InChild([&] {
      const int spare = ::fcntl(0, F_DUPFD, 100);
      for (int fd = 3; fd < 3 + count; ++fd) ASSERT_EQ(::dup2(spare, fd), fd);
      ::close(spare);
      for (int fd = 3 + count; fd < 20; ++fd) ::close(fd);
      ::setenv("LISTEN_PID", absl::StrCat(::getpid()).c_str(), 1);
      ::setenv("LISTEN_FDS", absl::StrCat(count).c_str(), 1);
      ::unsetenv("LISTEN_FDNAMES");
      run();
    });
  }
};

TEST_F(ListenFdsTest, NoneWhereNobodyHandedAnyOn) {
  InChild([] {
    ::unsetenv("LISTEN_PID");
    ::unsetenv("LISTEN_FDS");
    EXPECT_THAT(ListenFds(), IsOkAndHolds(IsEmpty()));
  });
}

TEST_F(ListenFdsTest, TakesThemWithNamesAndClosesThemOnExec) {
  InProcessWithFds(2, [] {
    ::setenv("LISTEN_FDNAMES", "http:admin", 1);
    const absl::StatusOr<std::vector<ReceivedFd>> fds = ListenFds();
    ASSERT_THAT(fds, IsOk());
    ASSERT_EQ(fds->size(), 2u);
    for (int i : {0, 1}) {
      EXPECT_EQ((*fds)[i].fd.get(), 3 + i);
      EXPECT_EQ(::fcntl(3 + i, F_GETFD), FD_CLOEXEC);
    }
    EXPECT_EQ((*fds)[0].name, "http");
    EXPECT_EQ((*fds)[1].name, "admin");
  });
}

TEST_F(ListenFdsTest, VariablesAreRemovedSoThatASecondCallFindsNone) {
  InProcessWithFds(1, [] {
    const absl::StatusOr<std::vector<ReceivedFd>> fds = ListenFds();
    ASSERT_THAT(fds, IsOk());
    EXPECT_EQ((*fds)[0].name, "unknown");
    for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      EXPECT_EQ(::getenv(variable), nullptr) << variable;
    }
    EXPECT_THAT(ListenFds(), IsOkAndHolds(IsEmpty()));
  });
}

TEST_F(ListenFdsTest, VariablesAreKeptIfAsked) {
  InProcessWithFds(1, [] {
    EXPECT_THAT(ListenFds(ListenEnvironment::kKeep), IsOk());
    EXPECT_STREQ(::getenv("LISTEN_FDS"), "1");
  });
}

TEST_F(ListenFdsTest, ThoseOfAnotherProcessAreLeftAlone) {
  InProcessWithFds(1, [] {
    ::setenv("LISTEN_PID", absl::StrCat(::getppid()).c_str(), 1);
    EXPECT_THAT(ListenFds(), IsOkAndHolds(IsEmpty()));
    EXPECT_EQ(::fcntl(3, F_GETFD), 0) << "neither owned nor changed";
  });
}

TEST_F(ListenFdsTest, VariablesThatMakeNoSenseAreErrors) {
  for (const char* count : {"", "x", "-1", "2147483647", "99999999999999999999"}) {
    InProcessWithFds(1, [count] {
      ::setenv("LISTEN_FDS", count, 1);
      EXPECT_THAT(ListenFds(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("LISTEN_FDS")));
      EXPECT_GE(::fcntl(3, F_GETFD), 0);
    });
  }
  InProcessWithFds(1, [] {
    ::setenv("LISTEN_PID", "mine", 1);
    EXPECT_THAT(ListenFds(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("LISTEN_PID")));
  });
  InProcessWithFds(1, [] {
    ::setenv("LISTEN_FDNAMES", "one:two", 1);
    EXPECT_THAT(ListenFds(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("LISTEN_FDNAMES")));
  });
}

TEST_F(ListenFdsTest, PromiseOfMoreThanIsOpenIsAnErrorThatTakesNone) {
  InProcessWithFds(2, [] {
    ::setenv("LISTEN_FDS", "1000000000", 1);
    EXPECT_THAT(ListenFds(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fd 5 is not open")));
    for (int fd : {3, 4}) EXPECT_EQ(::fcntl(fd, F_GETFD), 0) << fd;
  });
}

}  // namespace
}  // namespace ko
