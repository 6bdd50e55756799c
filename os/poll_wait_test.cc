#include "ko/os/poll_wait.h"

#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "gtest/gtest.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using testing::IsOkAndHolds;
using testing::StatusIs;

std::atomic<uint32_t> word{0};

class PollWaitTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    testing::LeakCheckedTest::SetUp();
    ASSERT_EQ(::pipe(fds_), 0);
  }
  void TearDown() override {
    ::close(fds_[0]);
    ::close(fds_[1]);
    testing::LeakCheckedTest::TearDown();
  }
  int fds_[2];
};

TEST_F(PollWaitTest, WhatIsReadyIsTrueAtOnce) {
  EXPECT_THAT(PollWait(fds_[1], PollEvent::kWritable, Deadline::After(absl::ZeroDuration())),
              IsOkAndHolds(true));
  ASSERT_EQ(::write(fds_[1], "x", 1), 1);
  EXPECT_THAT(PollWait(fds_[0], PollEvent::kReadable, Deadline::After(absl::InfiniteDuration())),
              IsOkAndHolds(true));
}

TEST_F(PollWaitTest, TheDeadlineIsFalse) {
  EXPECT_THAT(PollWait(fds_[0], PollEvent::kReadable, Deadline::After(absl::ZeroDuration())),
              IsOkAndHolds(false));
  EXPECT_THAT(PollWait(-1, PollEvent::kReadable, Deadline::After(absl::Milliseconds(5))),
              IsOkAndHolds(false));
}

TEST_F(PollWaitTest, AFiredInterruptIsCancelledBeforeAnythingElse) {
  word = 1;
  EXPECT_THAT(PollWait(fds_[1], PollEvent::kWritable, Deadline::After(absl::InfiniteDuration()), {&word, 0}),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(PollWaitTest, ASignalWhoseHandlerFiresTheInterruptEndsTheSleepAndOthersDoNot) {
  const auto child = testing::InChild([&] {
    static int others = 0;
    word = 0;
    ::signal(SIGALRM, [](int) {
      if (++others == 3) word = 1;
    });
    const itimerval every{{0, 10'000}, {0, 10'000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    EXPECT_THAT(
        PollWait(fds_[0], PollEvent::kReadable, Deadline::After(absl::InfiniteDuration()), {&word, 0}),
        StatusIs(absl::StatusCode::kCancelled));
    EXPECT_GE(others, 3);
  });
  EXPECT_TRUE(child.ok());
}

}  // namespace
}  // namespace ko::os
