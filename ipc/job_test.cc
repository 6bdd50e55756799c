#include "ko/ipc/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RecordingOwner : public LeaseOwner {
 public:
  absl::Status Settle(const JobLease& lease, JobOutcome outcome) override {
    settled.push_back({lease.id, outcome});
    return answer;
  }
  std::vector<std::pair<uint64_t, JobOutcome>> settled;
  absl::Status answer;
};

class JobTest : public ::testing::Test {
 protected:
  Job Make(uint64_t id = 7) { return Job(owner_, {.id = id, .attempt = 2, .token = {}}, "body"); }
  const std::shared_ptr<RecordingOwner> owner_ = std::make_shared<RecordingOwner>();
};

TEST_F(JobTest, TellsWhatItIs) {
  const Job job = Make();
  EXPECT_EQ(job.body(), "body");
  EXPECT_EQ(job.id(), 7u);
  EXPECT_EQ(job.attempt(), 2);
}

TEST_F(JobTest, AckSettlesOnce) {
  {
    Job job = Make();
    EXPECT_THAT(job.Ack(), IsOk());
    EXPECT_THAT(job.Ack(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(job.Nack(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(job.body(), "body");
  }
  EXPECT_THAT(owner_->settled, ElementsAre(std::pair(7, JobOutcome::kDone)));
}

TEST_F(JobTest, NackSaysWhereItGoes) {
  EXPECT_THAT(Make(1).Nack(), IsOk());
  EXPECT_THAT(Make(2).Nack(true), IsOk());
  EXPECT_THAT(Make(3).Nack(false), IsOk());
  EXPECT_THAT(owner_->settled,
              ElementsAre(std::pair(1, JobOutcome::kRequeue), std::pair(2, JobOutcome::kRequeue),
                          std::pair(3, JobOutcome::kDrop)));
}

TEST_F(JobTest, AnUnsettledOneGoesBackWhenItIsDestroyed) {
  {
    const Job job = Make();
  }
  EXPECT_THAT(owner_->settled, ElementsAre(std::pair(7, JobOutcome::kRequeue)));
}

TEST_F(JobTest, AFailedAckIsFinal) {
  owner_->answer = absl::NotFoundError("lost");
  {
    Job job = Make();
    EXPECT_THAT(job.Ack(), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(job.Ack(), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(owner_->settled, ElementsAre(std::pair(7, JobOutcome::kDone)));
}

TEST_F(JobTest, AMovedFromOneHoldsNothing) {
  Job from = Make();
  Job to = std::move(from);
  EXPECT_THAT(from.Ack(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(from.Nack(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(owner_->settled, IsEmpty());
  EXPECT_THAT(to.Ack(), IsOk());
}

TEST_F(JobTest, AssignmentGivesTheOldOneBack) {
  Job job = Make(1);
  job = Make(2);
  EXPECT_THAT(owner_->settled, ElementsAre(std::pair(1, JobOutcome::kRequeue)));
  EXPECT_EQ(job.id(), 2u);
  Job& same = job;
  job = std::move(same);
  EXPECT_THAT(job.Ack(), IsOk());
}

}  // namespace
}  // namespace ko
