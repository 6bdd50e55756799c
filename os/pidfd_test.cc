#include "ko/os/pidfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using testing::IsOkAndHolds;
using testing::StatusIs;

class PidfdTest : public testing::LeakCheckedTest {
 protected:
  template <class Body>
  pid_t Start(Body body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      body();
      ::_exit(0);
    }
    pidfd_ = OpenPidfd(pid);
    EXPECT_TRUE(pidfd_.valid());
    return pid;
  }

  ChildEnd End() {
    absl::StatusOr<std::optional<ChildEnd>> end = Reap(pidfd_.get(), /*block=*/true);
    EXPECT_TRUE(end.ok() && end->has_value()) << end.status();
    return end.ok() && end->has_value() ? **end : ChildEnd{ChildEnd::Kind::kUnknown, -1, false, {}};
  }

  UniqueFd pidfd_;
};

TEST_F(PidfdTest, IsCloseOnExec) {
  const pid_t pid = Start([] {});
  EXPECT_NE(::fcntl(pidfd_.get(), F_GETFD) & FD_CLOEXEC, 0);
  End();
  EXPECT_FALSE(testing::ReadProcessState(pid).has_value());
  pidfd_.reset();
}

TEST_F(PidfdTest, NoneForAPidThatIsNone) {
  EXPECT_FALSE(OpenPidfd(-1).valid());
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(PidfdTest, ReapTellsExitCode) {
  Start([] { ::_exit(7); });
  const ChildEnd end = End();
  EXPECT_EQ(end.kind, ChildEnd::Kind::kExited);
  EXPECT_EQ(end.value, 7);
  pidfd_.reset();
}

TEST_F(PidfdTest, ReapTellsSignal) {
  Start([] { ::pause(); });
  EXPECT_EQ(SendSignal(pidfd_.get(), SIGKILL), 0);
  const ChildEnd end = End();
  EXPECT_EQ(end.kind, ChildEnd::Kind::kSignaled);
  EXPECT_EQ(end.value, SIGKILL);
  EXPECT_FALSE(end.core_dumped);
  pidfd_.reset();
}

TEST_F(PidfdTest, ReapWithoutBlockingIsEmptyWhileItRuns) {
  Start([] { ::pause(); });
  absl::StatusOr<std::optional<ChildEnd>> end = Reap(pidfd_.get(), /*block=*/false);
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end->has_value());
  SendSignal(pidfd_.get(), SIGKILL);
  End();
  pidfd_.reset();
}

TEST_F(PidfdTest, SignalsThatCannotBeSent) {
  Start([] { ::pause(); });
  EXPECT_EQ(SendSignal(pidfd_.get(), 1000), EINVAL);
  EXPECT_EQ(SendSignal(pidfd_.get(), SIGKILL), 0);
  End();
  EXPECT_EQ(SendSignal(pidfd_.get(), SIGTERM), ESRCH);
  EXPECT_EQ(SendSignal(-1, SIGTERM), EBADF);
  pidfd_.reset();
}

TEST_F(PidfdTest, AwaitEndIsFalseWhenTheTimeIsOverAndTrueAfterTheEnd) {
  Start([] { ::pause(); });
  EXPECT_THAT(AwaitEnd(pidfd_.get(), Deadline::After(absl::ZeroDuration())), IsOkAndHolds(false));
  EXPECT_THAT(AwaitEnd(pidfd_.get(), Deadline::After(absl::Milliseconds(2))), IsOkAndHolds(false));
  SendSignal(pidfd_.get(), SIGKILL);
  EXPECT_THAT(AwaitEnd(pidfd_.get(), Deadline::After(absl::InfiniteDuration())), IsOkAndHolds(true));
  EXPECT_THAT(AwaitEnd(pidfd_.get(), Deadline::After(absl::ZeroDuration())), IsOkAndHolds(true));
  End();
  pidfd_.reset();
}

TEST_F(PidfdTest, ProcessThatIsNoChildIsRefusedAtOnce) {
  const UniqueFd self = OpenPidfd(::getpid());
  EXPECT_THAT(Reap(self.get(), /*block=*/true), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PidfdTest, ZombieOfAnotherProcessIsRefusedAtOnce) {
  const pid_t pid = Start([] {});
  testing::AwaitEnded(pid);
  testing::InChild([this] {
    EXPECT_THAT(Reap(pidfd_.get(), /*block=*/true), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(Reap(pidfd_.get(), /*block=*/false), StatusIs(absl::StatusCode::kFailedPrecondition));
  });
  EXPECT_EQ(End().kind, ChildEnd::Kind::kExited);
  pidfd_.reset();
}

// The status is the right one where the kernel keeps it (Linux 6.15), else unknown; never a wrong one.
void ExpectExitedOrUnknown(const absl::StatusOr<std::optional<ChildEnd>>& end, int code) {
  ASSERT_TRUE(end.ok()) << end.status();
  ASSERT_TRUE(end->has_value());
  if ((*end)->kind == ChildEnd::Kind::kUnknown) return;
  EXPECT_EQ((*end)->kind, ChildEnd::Kind::kExited);
  EXPECT_EQ((*end)->value, code);
}

TEST_F(PidfdTest, ReapedByOtherCodeTellsTheSameEndEveryTime) {
  const pid_t pid = Start([] { ::_exit(9); });
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  const absl::StatusOr<std::optional<ChildEnd>> first = Reap(pidfd_.get(), /*block=*/true);
  ExpectExitedOrUnknown(first, 9);
  const absl::StatusOr<std::optional<ChildEnd>> second = Reap(pidfd_.get(), /*block=*/false);
  ExpectExitedOrUnknown(second, 9);
  EXPECT_EQ((*first)->kind, (*second)->kind);
  pidfd_.reset();
}

// The kernel lets a waiting parent go before it keeps the status of a child that it reaps by itself.
TEST_F(PidfdTest, ReapedByTheKernelTellsTheEndEveryTime) {
  struct sigaction previous;
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, &previous);
  int known = 0, unknown = 0;
  for (int i = 0; i < testing::Rounds(1000); ++i) {
    int go[2];
    ASSERT_EQ(::pipe2(go, O_CLOEXEC), 0);
    Start([&go] {
      char byte;
      if (::read(go[0], &byte, 1) == 1) ::_exit(9);
    });
    EXPECT_EQ(::write(go[1], "", 1), 1);
    const absl::StatusOr<std::optional<ChildEnd>> end = Reap(pidfd_.get(), /*block=*/true);
    ExpectExitedOrUnknown(end, 9);
    if (end.ok() && end->has_value()) ++((*end)->kind == ChildEnd::Kind::kUnknown ? unknown : known);
    ::close(go[0]);
    ::close(go[1]);
  }
  ::sigaction(SIGCHLD, &previous, nullptr);
  EXPECT_TRUE(known == 0 || unknown == 0) << known << " times known, " << unknown << " times not";
  pidfd_.reset();
}

TEST_F(PidfdTest, IsOwnChildUntilItIsReaped) {
  Start([] { ::pause(); });
  EXPECT_TRUE(IsOwnChild(pidfd_.get()));
  EXPECT_EQ(SendSignal(pidfd_.get(), SIGKILL), 0);
  EXPECT_THAT(AwaitEnd(pidfd_.get(), Deadline::After(absl::Minutes(1))), IsOkAndHolds(true));
  EXPECT_TRUE(IsOwnChild(pidfd_.get())) << "a zombie";
  End();
  EXPECT_FALSE(IsOwnChild(pidfd_.get()));
  pidfd_.reset();
}

TEST_F(PidfdTest, IsOwnChildIsFalseForOthersAndForWhatIsNoProcess) {
  const UniqueFd self = OpenPidfd(::getpid()), parent = OpenPidfd(::getppid());
  EXPECT_FALSE(IsOwnChild(self.get()));
  EXPECT_FALSE(IsOwnChild(parent.get()));
  EXPECT_FALSE(IsOwnChild(-1));
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(IsOwnChild(file.get()));
}

TEST_F(PidfdTest, EndChildTouchesNobodyElse) {
  Start([] { ::pause(); });
  for (const pid_t pid : {pid_t{-1}, pid_t{0}, ::getpid(), ::getppid()}) EndChild(pid);
  EXPECT_FALSE(Reap(pidfd_.get(), /*block=*/false)->has_value());
  EXPECT_EQ(SendSignal(pidfd_.get(), SIGKILL), 0);
  End();
  pidfd_.reset();
}

}  // namespace
}  // namespace ko::os
