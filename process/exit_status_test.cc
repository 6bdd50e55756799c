#include "ko/process/exit_status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <sstream>

namespace ko {
namespace {

TEST(ExitStatus, ExitedTellsItsCodeOnly) {
  const ExitStatus status = ExitStatus::Exited(3);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.exit_code(), 3);
  EXPECT_EQ(status.term_signal(), std::nullopt);
  EXPECT_EQ(status.start_error(), std::nullopt);
  EXPECT_FALSE(status.core_dumped());
  EXPECT_EQ(status.ToString(), "exited with code 3");
  EXPECT_EQ(status.ToStatus(), absl::UnknownError("exited with code 3"));
}

TEST(ExitStatus, OnlyExitCodeZeroIsOk) {
  EXPECT_TRUE(ExitStatus::Exited(0).ok());
  EXPECT_EQ(ExitStatus::Exited(0).ToStatus(), absl::OkStatus());
  EXPECT_FALSE(ExitStatus::Exited(1).ok());
  EXPECT_FALSE(ExitStatus::Signaled(SIGTERM).ok());
  EXPECT_FALSE(ExitStatus::NotStarted(EAGAIN).ok());
  EXPECT_FALSE(ExitStatus::NotStarted(0).ok());
  EXPECT_FALSE(ExitStatus::Unknown().ok());
}

TEST(ExitStatus, KeepsTheLowEightBitsAsTheKernelDoes) {
  EXPECT_EQ(ExitStatus::Exited(-1).exit_code(), 255);
  EXPECT_EQ(ExitStatus::Exited(255).exit_code(), 255);
  EXPECT_EQ(ExitStatus::Exited(256).exit_code(), 0);
  EXPECT_EQ(ExitStatus::Exited(257).exit_code(), 1);
}

TEST(ExitStatus, SignaledTellsItsSignal) {
  const ExitStatus status = ExitStatus::Signaled(SIGKILL);
  EXPECT_EQ(status.term_signal(), SIGKILL);
  EXPECT_EQ(status.exit_code(), std::nullopt);
  EXPECT_FALSE(status.core_dumped());
  EXPECT_EQ(status.ToString(), "killed by SIGKILL");
  EXPECT_EQ(status.ToStatus(), absl::AbortedError("killed by SIGKILL"));
}

TEST(ExitStatus, TellsOfACoreDump) {
  const ExitStatus status = ExitStatus::Signaled(SIGSEGV, /*core_dumped=*/true);
  EXPECT_TRUE(status.core_dumped());
  EXPECT_EQ(status.ToString(), "killed by SIGSEGV (core dumped)");
}

TEST(ExitStatus, NotStartedTellsStageAndErrno) {
  const ExitStatus status = ExitStatus::NotStarted(ENOMEM, "fork");
  EXPECT_EQ(status.start_error(), ENOMEM);
  EXPECT_EQ(status.exit_code(), std::nullopt);
  EXPECT_EQ(status.term_signal(), std::nullopt);
  EXPECT_EQ(status.ToString(), "not started: fork: Cannot allocate memory [ENOMEM]");
  EXPECT_EQ(status.ToStatus().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExitStatus::NotStarted(EMFILE).ToString(), "not started: Too many open files [EMFILE]");
}

TEST(ExitStatus, NotStartedIsUnavailableWhereItMayWorkLater) {
  EXPECT_EQ(ExitStatus::NotStarted(EAGAIN, "fork").ToStatus().code(), absl::StatusCode::kUnavailable);
}

TEST(ExitStatus, FailureIsNeverAnOkStatus) {
  EXPECT_FALSE(ExitStatus::NotStarted(0).ToStatus().ok());
  EXPECT_FALSE(ExitStatus::NotStarted(-1).ToStatus().ok());
  EXPECT_FALSE(ExitStatus::Unknown().ToStatus().ok());
  EXPECT_FALSE(ExitStatus::Signaled(0).ToStatus().ok());
}

TEST(ExitStatus, UnknownSaysSo) {
  const ExitStatus status = ExitStatus::Unknown();
  EXPECT_EQ(status.exit_code(), std::nullopt);
  EXPECT_EQ(status.term_signal(), std::nullopt);
  EXPECT_EQ(status.start_error(), std::nullopt);
  EXPECT_EQ(status.ToString(), "ended, but its status was taken by other code");
}

TEST(ExitStatus, ReasonIsWhatToStatusTells) {
  const ExitStatus status = ExitStatus::Exited(1).WithReason(absl::NotFoundError("no such table"));
  EXPECT_EQ(status.ToStatus(), absl::NotFoundError("no such table"));
  EXPECT_EQ(status.ToString(), "exited with code 1: no such table");
  EXPECT_EQ(status.exit_code(), 1);
}

TEST(ExitStatus, ReasonOfASuccessDoesNotMakeItAFailure) {
  EXPECT_EQ(ExitStatus::Exited(0).WithReason(absl::NotFoundError("x")).ToStatus(), absl::OkStatus());
}

TEST(ExitStatus, ComparesByTheEndAndNotByTheReason) {
  EXPECT_EQ(ExitStatus::Exited(1), ExitStatus::Exited(1).WithReason(absl::NotFoundError("x")));
  EXPECT_NE(ExitStatus::Exited(9), ExitStatus::Signaled(9));
  EXPECT_NE(ExitStatus::Exited(1), ExitStatus::Exited(2));
  EXPECT_NE(ExitStatus::Signaled(6), ExitStatus::Signaled(6, /*core_dumped=*/true));
  EXPECT_NE(ExitStatus::Exited(0), ExitStatus::Unknown());
}

TEST(ExitStatus, PrintsItself) {
  std::ostringstream text;
  text << ExitStatus::Exited(3);
  EXPECT_EQ(text.str(), "exited with code 3");
}

TEST(SignalName, NamesEveryKindOfNumber) {
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(SIGRTMIN), "SIGRTMIN");
  EXPECT_EQ(SignalName(SIGRTMIN + 3), "SIGRTMIN+3");
  EXPECT_EQ(SignalName(99), "signal 99");
  EXPECT_EQ(SignalName(0), "signal 0");
  EXPECT_EQ(SignalName(-1), "signal -1");
}

TEST(ExitStatusTest, LastOutputIsPartOfTheMessagesAlone) {
  const ExitStatus status = ExitStatus::Exited(3).WithLastOutput("cannot open x\ngiving up");
  EXPECT_EQ(status.ToString(), "exited with code 3; last output:\ncannot open x\ngiving up");
  EXPECT_EQ(status.ToStatus().message(), status.ToString());
  EXPECT_EQ(status.ToStatus().code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(status, ExitStatus::Exited(3));
  EXPECT_EQ(ExitStatus::Exited(3).WithLastOutput("").ToString(), "exited with code 3");
  EXPECT_TRUE(ExitStatus::Exited(0).WithLastOutput("done").ToStatus().ok());
}

}  // namespace
}  // namespace ko
