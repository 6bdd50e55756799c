#include "ko/os/errno_status.h"

#include <gtest/gtest.h>

namespace ko::os {
namespace {

TEST(ErrnoStatus, NamesOperationObjectAndErrno) {
  const absl::Status status = ErrnoStatus(ENOENT, "open", "/no/such");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "open(/no/such): No such file or directory [ENOENT]");
}

TEST(ErrnoStatus, HasNoParenthesesWithoutAnObject) {
  EXPECT_EQ(ErrnoStatus(EAGAIN, "fork").message(), "fork: Resource temporarily unavailable [EAGAIN]");
}

TEST(ErrnoStatus, TellsTheErrorsThatCallersActOnApart) {
  EXPECT_EQ(ErrnoStatus(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EPERM, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EINVAL, "x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrnoStatus(EMFILE, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(ENOMEM, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EAGAIN, "x").code(), absl::StatusCode::kUnavailable);
}

TEST(ErrnoText, NumberThatIsNoErrnoIsNamed) {
  EXPECT_EQ(ErrnoText(123456), "unknown error [123456]");
  EXPECT_EQ(ErrnoText(-1), "unknown error [-1]");
}

TEST(RetryEintr, CallsAgainOnlyAfterEintr) {
  int calls = 0;
  EXPECT_EQ(RetryEintr([&calls] {
              errno = EINTR;
              return ++calls < 3 ? -1 : 5;
            }),
            5);
  EXPECT_EQ(calls, 3);

  calls = 0;
  EXPECT_EQ(RetryEintr([&calls] {
              ++calls;
              errno = EBADF;
              return -1;
            }),
            -1);
  EXPECT_EQ(calls, 1);
}

TEST(RetryEintr, StaleEintrOfAnEarlierCallDoesNotRepeatASuccess) {
  int calls = 0;
  errno = EINTR;
  EXPECT_EQ(RetryEintr([&calls] { return ++calls; }), 1);
}

}  // namespace
}  // namespace ko::os
