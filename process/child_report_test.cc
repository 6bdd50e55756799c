#include "ko/process/child_report.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>
#include <string>

namespace ko {
namespace {

// The page as the kernel hands it out, and as a child can scribble over it.
class ChildReportTest : public ::testing::Test {
 protected:
  ChildReport& report() { return *reinterpret_cast<ChildReport*>(page_); }
  char* page() { return page_; }

 private:
  alignas(64) char page_[ChildReport::kBytes] = {};
};

TEST_F(ChildReportTest, EmptyOneLeavesTheStatusAlone) {
  const ExitStatus status = report().Complete(ExitStatus::Exited(1));
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_EQ(status.ToStatus().message(), "exited with code 1");
}

TEST_F(ChildReportTest, CarriesCodeAndMessageOfTheBodysStatus) {
  report().BodyFailed(absl::DataLossError("row 17"));
  EXPECT_EQ(report().Complete(ExitStatus::Exited(1)).ToStatus(), absl::DataLossError("row 17"));
}

TEST_F(ChildReportTest, CarriesBytesThatAreNoText) {
  const std::string bytes("a\0\xff\n", 4);
  report().BodyFailed(absl::InternalError(bytes));
  EXPECT_EQ(report().Complete(ExitStatus::Exited(1)).ToStatus().message(), bytes);
}

TEST_F(ChildReportTest, CarriesAStatusWithoutMessage) {
  report().BodyFailed(absl::Status(absl::StatusCode::kNotFound, ""));
  EXPECT_EQ(report().Complete(ExitStatus::Exited(1)).ToStatus().code(), absl::StatusCode::kNotFound);
}

TEST_F(ChildReportTest, MessageBeyondThePageIsCut) {
  const std::string message(2 * ChildReport::kBytes, 'x');
  report().BodyFailed(absl::InternalError(message));
  const absl::Status told = report().Complete(ExitStatus::Exited(1)).ToStatus();
  EXPECT_GT(told.message().size(), ChildReport::kBytes - 64);
  EXPECT_LT(told.message().size(), ChildReport::kBytes);
  EXPECT_EQ(told.message(), message.substr(0, told.message().size()));
}

TEST_F(ChildReportTest, CarriesAFailedStart) {
  report().StartFailed("prctl", EPERM);
  const ExitStatus status = report().Complete(ExitStatus::Exited(127));
  EXPECT_EQ(status.start_error(), EPERM);
  EXPECT_EQ(status.ToString(), "not started: prctl: Operation not permitted [EPERM]");
}

TEST_F(ChildReportTest, ReasonIsNotTakenForAnEndThatTheBodyDidNotChoose) {
  report().BodyFailed(absl::DataLossError("row 17"));
  EXPECT_EQ(report().Complete(ExitStatus::Signaled(SIGKILL)).ToStatus(),
            absl::AbortedError("killed by SIGKILL"));
  EXPECT_TRUE(report().Complete(ExitStatus::Exited(0)).ToStatus().ok());
}

TEST_F(ChildReportTest, ScribbledPagesAreReadWithinTheirBoundsAndStayFailures) {
  std::mt19937 random(20240722);
  for (int round = 0; round < 20'000; ++round) {
    // All random, and the first words small as a rule, so that every kind comes up with wild lengths and
    // codes.
    for (size_t i = 0; i < 64; ++i) page()[i] = static_cast<char>(random());
    const uint32_t kind = round % 4;
    std::memcpy(page(), &kind, sizeof kind);
    for (const ExitStatus& end :
         {ExitStatus::Exited(1), ExitStatus::Exited(127), ExitStatus::Signaled(SIGSEGV)}) {
      const ExitStatus status = report().Complete(end);
      ASSERT_FALSE(status.ok());
      ASSERT_FALSE(status.ToStatus().ok());
      ASSERT_LT(status.ToString().size(), ChildReport::kBytes + 200);
    }
  }
  std::memset(page(), 0xff, ChildReport::kBytes);
  EXPECT_EQ(report().Complete(ExitStatus::Exited(1)), ExitStatus::Exited(1)) << "a kind that is none";
}

}  // namespace
}  // namespace ko
