#include "ko/testing/fault_sweep.h"

#include <fcntl.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"

namespace ko::testing {
namespace {

TEST(FaultSweep, EachCallFailsWithEachErrno) {
  const FaultCount count = SweepFaults("two eventfds", [](FaultRound& round) {
    round.Try([] {
      for (int i = 0; i < 2; ++i) {
        const os::UniqueFd fd(::eventfd(0, 0));
        if (!fd.valid()) return os::ErrnoStatus(errno, "eventfd");
      }
      return absl::OkStatus();
    });
  });
  EXPECT_EQ(count.injected, 6);  // EMFILE, ENFILE and ENOMEM, twice
  EXPECT_EQ(count.told, 6);
}

TEST(FaultSweep, WhatIsTriedAgainIsOvercome) {
  const FaultCount count = SweepFaults("read", [](FaultRound& round) {
    round.Try([] {
      const os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      char byte;
      for (int i = 0; i < 3; ++i) {
        if (null.valid() && ::read(null.get(), &byte, 1) == 0) return absl::OkStatus();
      }
      return os::ErrnoStatus(errno, "open", "/dev/null");
    });
  });
  EXPECT_EQ(count.overcome, 2) << "read's EINTR and EIO";
  EXPECT_EQ(count.told, count.injected - 2);
}

TEST(FaultSweep, ForkedProcessesAreMetToo) {
  const FaultCount count = SweepFaults("a child's eventfd", [](FaultRound& round) {
    round.Try([] {
      const pid_t pid = ::fork();
      if (pid < 0) return os::ErrnoStatus(errno, "fork");
      if (pid == 0) ::_exit(::eventfd(0, 0) < 0 ? errno : 0);
      int status = 0;
      os::RetryEintr([&] { return ::waitpid(pid, &status, 0); });
      return WEXITSTATUS(status) == 0 ? absl::OkStatus() : os::ErrnoStatus(WEXITSTATUS(status), "eventfd");
    });
  });
  EXPECT_EQ(count.injected, 6);  // clone's two, wait4's, the child's three
  EXPECT_EQ(count.told, 5);
  EXPECT_EQ(count.overcome, 1);
}

void SweepOfALeak() {
  SweepFaults("a leak", [](FaultRound& round) {
    round.Try([] {
      os::UniqueFd first(::eventfd(0, 0));
      if (!first.valid()) return os::ErrnoStatus(errno, "eventfd");
      const os::UniqueFd second(::eventfd(0, 0));
      if (second.valid()) return absl::OkStatus();
      const absl::Status status = os::ErrnoStatus(errno, "eventfd");
      (void)first.release();
      return status;
    });
  });
}

void SweepOfASilence() {
  SweepFaults("no errno in the status", [](FaultRound& round) {
    round.Try([] {
      const os::UniqueFd fd(::eventfd(0, 0));
      return fd.valid() ? absl::OkStatus() : absl::InternalError("something went wrong");
    });
  });
}

void SweepOfABreak() {
  SweepFaults("not usable afterwards", [](FaultRound& round) {
    bool is_broken = false;
    round.Try([&] {
      const os::UniqueFd fd(::eventfd(0, 0));
      if (!fd.valid()) is_broken = true;
      return is_broken ? os::ErrnoStatus(ENOMEM, "eventfd") : absl::OkStatus();
    });
  });
}

void ExpectFailures(void (*sweep)(), const char* with) {
  ::testing::TestPartResultArray failures;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
    sweep();
  }
  ASSERT_GT(failures.size(), 0);
  EXPECT_NE(std::string(failures.GetTestPartResult(0).message()).find(with), std::string::npos)
      << failures.GetTestPartResult(0).message();
}

TEST(FaultSweep, SeesWhatIsLeft) { ExpectFailures(SweepOfALeak, "is new"); }

TEST(FaultSweep, SeesAStatusThatDoesNotNameTheErrno) {
  ExpectFailures(SweepOfASilence, "something went wrong");
}

TEST(FaultSweep, SeesWhatCannotBeDoneAgain) { ExpectFailures(SweepOfABreak, "done again"); }

}  // namespace
}  // namespace ko::testing
