// Workers, their jobs and the broker itself are killed; every job is done.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ko/amqp/amqp_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/os/shared_mapping.h"
#include "ko/process/fork.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr int kJobs = testing::Rounds(10'000);
constexpr int kWorkers = 4;

// What all processes of the test see.
struct Board {
  std::atomic<int> done;  // executions
  std::atomic<int> jobs_killed;
  std::atomic<int> of_job[kJobs];
};

class AmqpKillTest : public testing::LeakCheckedTest {
 protected:
  // Orphans of what was killed, the broker's too, are this test's children, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }
};

// Takes jobs and runs each in a process of its own, some of which kill themselves, until it is killed.
int Work(const std::string& url, Board& board) {
  const absl::StatusOr<std::unique_ptr<AmqpJobQueue>> queue = AmqpJobQueue::Create(url);
  std::minstd_rand random(std::random_device{}());
  for (;;) {
    absl::StatusOr<Job> job = (*queue)->Receive();
    if (!job.ok()) return 1;  // the broker is away: the next worker finds it
    int number = 0;
    if (!absl::SimpleAtoi(job->body(), &number) || number < 0 || number >= kJobs) ::_exit(2);
    if (random() % 20 == 0) {
      // The job is in a process that dies before it is done.
      absl::StatusOr<Child> child = Fork([] { return ::raise(SIGKILL); }, {.die_with_parent = true});
      if (child.ok()) child->Wait().IgnoreError();
      ++board.jobs_killed;
      job->Nack().IgnoreError();
      continue;
    }
    ++board.of_job[number];
    ++board.done;
    job->Ack().IgnoreError();  // where it is lost with the connection, the job comes again
  }
}

TEST_F(AmqpKillTest, EachJobIsDoneThoughWorkersJobsAndTheBrokerAreKilled) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(sizeof(Board));
  ASSERT_THAT(memory, IsOk());
  Board& board = *new (memory->data()) Board{};
  const std::string url = server.Url("jobs", "&prefetch=10");

  // A publisher whose broker is restarted under it.
  absl::StatusOr<Child> publisher = Fork([&] {
    const absl::StatusOr<std::unique_ptr<AmqpJobQueue>> queue = AmqpJobQueue::Create(url);
    for (int first = 0; first < kJobs; first += 100) {
      std::vector<std::string> bodies;
      for (int i = first; i < first + 100; ++i) bodies.push_back(absl::StrCat(i));
      if (!(*queue)->PublishAll(bodies, kLong).ok()) return 1;
    }
    return 0;
  });
  ASSERT_THAT(publisher, IsOk());

  const auto start = [&] { return *Fork([&] { return Work(url, board); }, {.die_with_parent = true}); };
  std::vector<Child> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(start());

  std::minstd_rand random(std::random_device{}());
  int workers_killed = 0, restarts = 0;
  while (restarts < 2 || board.done < kJobs * 9 / 10) {
    if (restarts < 2 && board.done > kJobs * (restarts + 1) / 4) {
      restarts == 0 ? server.Kill() : server.Stop();
      server.Start();
      ++restarts;
    }
    Child& victim = workers[random() % kWorkers];
    const absl::StatusOr<ExitStatus> ended = victim.Wait(absl::Milliseconds(random() % 40));
    if (absl::IsDeadlineExceeded(ended.status())) {
      EXPECT_THAT(victim.Kill(SIGKILL), IsOk());
      EXPECT_THAT(victim.Wait(), IsOk());
      ++workers_killed;
    } else {
      ASSERT_EQ(ended->exit_code(), 1);
    }
    victim = start();
  }
  // From here on nothing is killed: the rest is done, and what was on its way back.
  EXPECT_TRUE(publisher->Wait()->ok());
  while (server.CountMessages("jobs") > 0) {
    for (Child& worker : workers) {
      if (worker.Wait(absl::ZeroDuration()).ok()) worker = start();  // the broker was away
    }
  }
  for (Child& worker : workers) {
    EXPECT_THAT(worker.Kill(SIGKILL), IsOk());
    EXPECT_THAT(worker.Wait(), IsOk());
  }
  const auto lost = std::count(std::begin(board.of_job), std::end(board.of_job), 0);
  const auto repeated = std::count_if(std::begin(board.of_job), std::end(board.of_job),
                                      [](const std::atomic<int>& count) { return count > 1; });
  std::printf("%d jobs, %d done more than once, %d lost; killed: %d workers, %d jobs, the broker %d times\n",
              kJobs, static_cast<int>(repeated), static_cast<int>(lost), workers_killed,
              board.jobs_killed.load(), restarts);
  EXPECT_EQ(lost, 0);
}

TEST_F(AmqpKillTest, APublisherAndAReceiverOutliveARestartOfTheBroker) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const auto queue = *AmqpJobQueue::Create(server.Url("jobs", "&timeout=5"));
  ASSERT_THAT(queue->PublishAll({"one", "two"}), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  server.Kill();
  EXPECT_THAT(queue->Publish("x", absl::ZeroDuration()), testing::StatusIs(absl::StatusCode::kUnavailable));
  server.Start();
  EXPECT_THAT(queue->Publish("three", kLong), IsOk());
  EXPECT_THAT(job->Ack(), testing::StatusIs(absl::StatusCode::kNotFound));
  for (const char* body : {"one", "two", "three"}) {
    job = queue->Receive(kLong);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), body);
    EXPECT_THAT(job->Ack(), IsOk());
  }
}

TEST_F(AmqpKillTest, APublishToABrokerThatDoesNotReadEndsInTime) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const auto queue = *AmqpJobQueue::Create(server.Url("jobs", "&timeout=1&heartbeat=0"));
  ASSERT_THAT(queue->Connect(), IsOk());
  server.Freeze();
  // Larger than what the kernel takes for a reader that does not come: the write itself waits.
  const absl::Status large = queue->Publish(std::string(64 << 20, 'x'));
  EXPECT_TRUE(absl::IsUnavailable(large) || absl::IsDeadlineExceeded(large)) << large;
  server.Thaw();
  EXPECT_THAT(queue->Publish("small", kLong), IsOk());
  absl::StatusOr<Job> job = queue->Receive(kLong);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->body(), "small");
  EXPECT_THAT(job->Ack(), IsOk());
}

}  // namespace
}  // namespace ko
