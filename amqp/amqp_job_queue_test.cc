// The queue on a real broker.

#include "ko/amqp/amqp_job_queue.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/amqp/open_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/process/listen.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

constexpr absl::Duration kLong = absl::Seconds(50);

class AmqpJobQueueTest : public testing::LeakCheckedTest {
 protected:
  static void SetUpTestSuite() {
    if (testing::RabbitMqServer::IsInstalled()) server = std::make_unique<testing::RabbitMqServer>();
  }
  static void TearDownTestSuite() { server.reset(); }
  void SetUp() override {
    testing::LeakCheckedTest::SetUp();
    if (server == nullptr) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  }

  // A queue of the test's own; `more` as in RabbitMqServer::Url.
  static std::string Url(std::string_view more = {}) {
    return server->Url(::testing::UnitTest::GetInstance()->current_test_info()->name(), more);
  }
  static std::unique_ptr<AmqpJobQueue> Open(std::string_view url) {
    absl::StatusOr<std::unique_ptr<AmqpJobQueue>> queue = AmqpJobQueue::Create(url);
    EXPECT_THAT(queue, IsOk());
    return *std::move(queue);
  }

  inline static std::unique_ptr<testing::RabbitMqServer> server;
};

TEST_F(AmqpJobQueueTest, WhatIsPublishedIsReceivedOnceInOrder) {
  const auto queue = Open(Url());
  const std::string binary("\0\xff\n", 3);
  for (const std::string& body : {std::string("first"), std::string(), binary, std::string(300'000, 'x')}) {
    ASSERT_THAT(queue->Publish(body), IsOk());
  }
  for (const std::string& body : {std::string("first"), std::string(), binary, std::string(300'000, 'x')}) {
    absl::StatusOr<Job> job = queue->Receive(kLong);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), body);
    EXPECT_EQ(job->attempt(), 1);
    EXPECT_NE(job->id(), 0u);
    EXPECT_THAT(job->Ack(), IsOk());
    EXPECT_THAT(job->Ack(), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(queue->Receive(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(AmqpJobQueueTest, ManyArePublishedTogether) {
  const auto queue = Open(Url());
  std::vector<std::string> bodies;
  for (int i = 0; i < 2000; ++i) bodies.push_back(absl::StrCat("job ", i));
  ASSERT_THAT(queue->PublishAll(bodies), IsOk());
  const absl::StatusOr<JobQueueStats> stats = queue->Stats();
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->ready, 2000u);
  EXPECT_EQ(stats->published, 2000u);
  const auto receiver = Open(Url("&prefetch=100"));
  for (const std::string& body : bodies) {
    absl::StatusOr<Job> job = receiver->Receive(kLong);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), body);
    ASSERT_THAT(job->Ack(), IsOk());
  }
}

TEST_F(AmqpJobQueueTest, AJobThatIsHandedBackComesAgainAsTheSameJob) {
  const auto queue = Open(Url());
  ASSERT_THAT(queue->Publish("job"), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  const uint64_t id = job->id();
  ASSERT_THAT(job->Nack(), IsOk());
  job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->attempt(), 2);
  EXPECT_EQ(job->id(), id);
  ASSERT_THAT(job->Nack(/*requeue=*/false), IsOk());
  EXPECT_THAT(queue->Receive(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(AmqpJobQueueTest, AQuorumQueueCountsEachAttempt) {
  const auto queue = Open(Url("&type=quorum"));
  ASSERT_THAT(queue->Publish("job"), IsOk());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    absl::StatusOr<Job> job = queue->Receive(kLong);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->attempt(), attempt);
  }  // each goes back when it is destroyed
}

TEST_F(AmqpJobQueueTest, PrefetchIsHowManyOneReceiverHolds) {
  const auto publisher = Open(Url());
  ASSERT_THAT(publisher->PublishAll({"a", "b", "c"}), IsOk());
  const auto one = Open(Url("&prefetch=2"));
  const absl::StatusOr<Job> first = one->Receive(kLong), second = one->Receive(kLong);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  const auto other = Open(Url());
  const absl::StatusOr<Job> third = other->Receive(kLong);
  ASSERT_THAT(third, IsOk());
  EXPECT_EQ(third->body(), "c");
}

TEST_F(AmqpJobQueueTest, AWorkerThatDiesGivesItsJobBack) {
  const auto queue = Open(Url());
  ASSERT_THAT(queue->Publish("job"), IsOk());
  const std::string url = Url();
  const auto worker = testing::InChild([&] {
    const auto own = Open(url);
    const absl::StatusOr<Job> job = own->Receive(kLong);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->attempt(), 1);
    ::raise(SIGKILL);
  });
  EXPECT_EQ(worker.term_signal, SIGKILL);
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->body(), "job");
  EXPECT_EQ(job->attempt(), 2);
  EXPECT_THAT(job->Ack(), IsOk());
}

TEST_F(AmqpJobQueueTest, AChildCannotUseItsParentsConnectionNorHarmIt) {
  auto queue = Open(Url());
  ASSERT_THAT(queue->PublishAll({"one", "two"}), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  const auto child = testing::InChild([&] {
    EXPECT_THAT(queue->Publish("x"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("parent")));
    EXPECT_THAT(queue->PublishAll({"x"}), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(queue->Receive(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(queue->Stats(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(queue->Tend(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(queue->Close(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(job->Ack(), StatusIs(absl::StatusCode::kFailedPrecondition));
    job = absl::UnknownError("");
    queue.reset();
  });
  EXPECT_TRUE(child.ok()) << child.err;
  EXPECT_THAT(job->Ack(), IsOk());
  absl::StatusOr<Job> two = queue->Receive(kLong);
  ASSERT_THAT(two, IsOk());
  EXPECT_EQ(two->body(), "two");
  EXPECT_EQ(two->attempt(), 1);
}

TEST_F(AmqpJobQueueTest, AQueueThatHasNotBeenUsedIsEachChildsOwn) {
  const auto queue = Open(Url());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(testing::InChild([&] { EXPECT_THAT(queue->Publish("job"), IsOk()); }).ok());
  }
  EXPECT_EQ(queue->Stats()->ready, 2u);
}

TEST_F(AmqpJobQueueTest, CloseGivesBackWhatItHoldsAndEndsThisObjectOnly) {
  const auto queue = Open(Url());
  ASSERT_THAT(queue->Publish("job"), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  ASSERT_THAT(queue->Close(), IsOk());
  ASSERT_THAT(queue->Close(), IsOk());
  EXPECT_THAT(job->Ack(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(queue->Publish("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(queue->Receive(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Open(Url())->Receive(kLong), IsOk());
}

TEST_F(AmqpJobQueueTest, AWrongPasswordIsUnauthenticated) {
  const auto queue = Open(absl::StrCat("amqp://guest:sesame@127.0.0.1:", server->port(), "/?queue=q"));
  const absl::Status status = queue->Publish("x");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("127.0.0.1")));
  EXPECT_THAT(status.ToString(), Not(HasSubstr("sesame")));
}

TEST_F(AmqpJobQueueTest, AnUnknownHostIsNotFound) {
  EXPECT_THAT(Open("amqp://no-such-host.invalid?queue=q")->Publish("x"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-host.invalid")));
}

TEST_F(AmqpJobQueueTest, AClosedPortIsUnavailable) {
  EXPECT_THAT(Open("amqp://127.0.0.1:1?queue=q")->Receive(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("127.0.0.1:1")));
}

TEST_F(AmqpJobQueueTest, AHostThatDoesNotAnswerIsDeadlineExceeded) {
  const absl::StatusOr<os::UniqueFd> silent = Listen("127.0.0.1:0");
  ASSERT_THAT(silent, IsOk());
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(silent->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_THAT(
      Open(absl::StrCat("amqp://127.0.0.1:", ntohs(address.sin_port), "?queue=q&timeout=1"))->Receive(),
      StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(AmqpJobQueueTest, AWrongVhostIsPermissionDenied) {
  EXPECT_THAT(Open(absl::StrCat("amqp://127.0.0.1:", server->port(), "/nowhere?queue=q"))->Publish("x"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("nowhere")));
}

TEST_F(AmqpJobQueueTest, AQueueWithOtherPropertiesAlreadyExists) {
  ASSERT_THAT(Open(Url())->Publish("x"), IsOk());
  EXPECT_THAT(
      Open(Url("&type=quorum"))->Receive(),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("AQueueWithOtherPropertiesAlreadyExists")));
}

TEST_F(AmqpJobQueueTest, AMessageThatIsTooLargeIsRefusedAndTheQueueGoesOn) {
  const auto queue = Open(Url());
  EXPECT_THAT(queue->Publish(std::string(20 << 20, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(queue->Publish("small"), IsOk());
  EXPECT_THAT(queue->Receive(kLong), IsOk());
}

TEST_F(AmqpJobQueueTest, HeartbeatsKeepAWorkerThatTendsItsQueue) {
  const auto queue = Open(Url("&heartbeat=1"));
  ASSERT_THAT(queue->Publish("job"), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  for (int i = 0; i < 10; ++i) {
    const absl::StatusOr<absl::Duration> pause = queue->Tend();
    ASSERT_THAT(pause, IsOk());
    absl::SleepFor(*pause);
  }
  EXPECT_THAT(job->Ack(), IsOk());
  EXPECT_THAT(queue->Receive(absl::Seconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(AmqpJobQueueTest, AnInterruptEndsTheSleep) {
  const auto queue = Open(Url());
  ASSERT_THAT(queue->Connect(), IsOk());
  const std::atomic<uint32_t> word{1};
  EXPECT_THAT(queue->Receive(absl::InfiniteDuration(), {&word, 0}), StatusIs(absl::StatusCode::kCancelled));
}

TEST(OpenJobQueueTest, TheSchemeChooses) {
  EXPECT_THAT(OpenJobQueue("shm:"), IsOk());
  EXPECT_THAT(OpenJobQueue("amqp://nobody.invalid?queue=q"), IsOk());  // it connects later
  EXPECT_THAT(OpenJobQueue("amqp://u:secret@host"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("queue")));
  for (const char* url : {"", "tcp:", "amqp:u:secret@host", "shm:x"}) {
    const auto queue = OpenJobQueue(url);
    EXPECT_THAT(queue, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("shm:")));
    EXPECT_THAT(queue.status().ToString(), Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace ko
