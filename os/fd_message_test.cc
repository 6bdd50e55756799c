#include "ko/os/fd_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "absl/time/time.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

class FdMessageTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    auto ends = MessageSocketPair();
    ASSERT_THAT(ends, testing::IsOk());
    ends_ = *std::move(ends);
  }
  void TearDown() override {
    ends_ = {};
    LeakCheckedTest::TearDown();
  }
  int a() const { return ends_.first.get(); }
  int b() const { return ends_.second.get(); }

  std::pair<UniqueFd, UniqueFd> ends_;
  char buffer_[16] = {};
};

TEST_F(FdMessageTest, MessagesArriveWholeAndApart) {
  EXPECT_EQ(SendMessage(a(), {"one", "two"}, {}, true), 0);
  EXPECT_EQ(SendMessage(a(), {"three"}, {}, true), 0);
  EXPECT_EQ(ReceiveMessage(b(), buffer_, sizeof buffer_, true).bytes, 6);
  EXPECT_EQ(std::string(buffer_, 6), "onetwo");
  EXPECT_EQ(ReceiveMessage(b(), buffer_, sizeof buffer_, true).bytes, 5);
  const ReceivedMessage none = ReceiveMessage(b(), buffer_, sizeof buffer_, false);
  EXPECT_EQ(none.bytes, -1);
  EXPECT_EQ(none.error_number, EAGAIN);
}

TEST_F(FdMessageTest, LongMessageIsToldToBeTruncated) {
  EXPECT_EQ(SendMessage(a(), {"0123456789abcdefX"}, {}, true), 0);
  EXPECT_TRUE(ReceiveMessage(b(), buffer_, sizeof buffer_, true).truncated);
}

TEST_F(FdMessageTest, DescriptorsArriveCloseOnExecAboveStdio) {
  EXPECT_EQ(SendMessage(a(), {"x"}, {0, 1}, true), 0);
  const ReceivedMessage message = ReceiveMessage(b(), buffer_, sizeof buffer_, true);
  ASSERT_EQ(message.fds.size(), 2u);
  for (const UniqueFd& fd : message.fds) {
    EXPECT_GT(fd.get(), 2);
    EXPECT_EQ(::fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(FdMessageTest, BadDescriptorIsAnErrorAndNothingIsSent) {
  EXPECT_EQ(SendMessage(a(), {"x"}, {-1}, true), EBADF);
  EXPECT_EQ(ReceiveMessage(b(), buffer_, sizeof buffer_, false).error_number, EAGAIN);
}

TEST_F(FdMessageTest, DescriptorsWithoutRoomAreToldToBeMissing) {
  testing::InChild([this] {
    EXPECT_EQ(SendMessage(a(), {"x"}, {0, 1}, true), 0);
    const int next = ::dup(0);
    ::close(next);
    const rlimit limit = {static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const ReceivedMessage message = ReceiveMessage(b(), buffer_, sizeof buffer_, true);
    EXPECT_EQ(message.bytes, 1);
    EXPECT_TRUE(message.fds_missing);
    EXPECT_TRUE(message.fds.empty());
  });
}

TEST_F(FdMessageTest, ClosedEndIsNoticedByBoth) {
  ends_.second.reset();
  EXPECT_EQ(SendMessage(a(), {"x"}, {}, true), EPIPE);
  EXPECT_EQ(ReceiveMessage(a(), buffer_, sizeof buffer_, true).bytes, 0);
  const Readiness ready = AwaitReadable(a(), a(), absl::InfiniteDuration());
  EXPECT_TRUE(ready.socket);
}

TEST_F(FdMessageTest, ReadinessIsToldForEach) {
  Readiness ready = AwaitReadable(a(), b(), absl::ZeroDuration());
  EXPECT_FALSE(ready.socket || ready.other);
  EXPECT_EQ(SendMessage(a(), {"x"}, {}, true), 0);
  ready = AwaitReadable(a(), b(), absl::InfiniteDuration());
  EXPECT_FALSE(ready.socket);
  EXPECT_TRUE(ready.other);
}

TEST_F(FdMessageTest, WaitForReadinessMayEndBeforeThereIsAny) {
  Readiness ready = AwaitReadable(a(), b(), absl::Milliseconds(1));
  EXPECT_FALSE(ready.socket || ready.other);
  EXPECT_EQ(SendMessage(a(), {"x"}, {}, true), 0);
  ready = AwaitReadable(b(), a(), absl::Hours(1));
  EXPECT_TRUE(ready.socket);
  EXPECT_FALSE(ready.other);
}

}  // namespace
}  // namespace ko::os
