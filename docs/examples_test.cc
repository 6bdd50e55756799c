// The lines of C++ in docs/ are lines of these tests: compiled, and run.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "ko/amqp/open_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/ko.h"
#include "ko/testing/code_blocks.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;

class ExamplesTest : public testing::LeakCheckedTest {};

TEST_F(ExamplesTest, EveryBlockOfTheDocumentsIsHere) {
  const std::string sources = testing::ReadFile("docs/examples_test.cc");
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator("docs")) {
    if (file.path().extension() != ".md") continue;
    const testing::CodeBlocks blocks = testing::CheckCodeBlocks(testing::ReadFile(file.path()), sources);
    EXPECT_THAT(blocks.missing, ::testing::IsEmpty()) << file.path();
    count += blocks.count;
  }
  EXPECT_GE(count, 10);
}

int TakeJobs(Self& self) {
  self.NotifyReady();
  while (!self.ShouldShutdown()) {
    self.Sleep(absl::Seconds(1));  // a SIGTERM ends it at once
  }
  return 0;
}

TEST_F(ExamplesTest, FiveWorkersAreKeptAliveAndStopped) {
  ko::ProcessManager manager;
  std::vector<ko::Process> workers;
  for (int i = 0; i < 5; ++i) {
    workers.push_back(manager.Spawn([](ko::Self& self) { return TakeJobs(self); }));
  }
  for (ko::Process& worker : workers) ASSERT_THAT(worker.WaitReady(), IsOk());
  ASSERT_THAT(workers[0].Kill(SIGKILL), IsOk());
  while (workers[0].restarts() == 0) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  ASSERT_THAT(workers[0].WaitReady(), IsOk());
  absl::Status stopped = manager.Shutdown({.signal = SIGTERM, .grace = absl::Seconds(30)});
  EXPECT_THAT(stopped, IsOk());
  EXPECT_FALSE(manager.HasAlive());
}

TEST_F(ExamplesTest, APoolOfFiveIsStopped) {
  ko::ProcessManager manager;
  ko::WorkerPool pool = manager.SpawnPool(5, [](ko::Self& self) { return TakeJobs(self); });
  ASSERT_THAT(pool.WaitReady(), IsOk());
  EXPECT_THAT(pool.Stop(), IsOk());
  EXPECT_FALSE(manager.HasAlive());
}

TEST_F(ExamplesTest, AWebServersOptionsAreValid) {
  ko::ProcessOptions options = {.ready = ko::ReadyWhen::kNotified};
  options.stop = ko::StopPlan{.steps = {{.signal = SIGTERM, .wait = absl::Seconds(30)}}};
  options.liveness.heartbeat_deadline = absl::Seconds(10);
  options.recycle.max_tasks = 10'000;
  EXPECT_THAT(options.Validate(), IsOk());
}

TEST_F(ExamplesTest, TheRestIsRestartedForOne) {
  ko::ProcessManager manager;
  ko::Group group = manager.Group(ko::Strategy::kRestForOne, {.name = "store"});
  group.Spawn([](ko::Self& self) { return TakeJobs(self); }, {}, {.name = "database"});
  group.Spawn([](ko::Self& self) { return TakeJobs(self); }, {}, {.name = "cache"});
  ASSERT_THAT(group.WaitReady(), IsOk());
  EXPECT_THAT(group.Stop(), IsOk());
}

TEST_F(ExamplesTest, AForkServerForksForTheManager) {
  ko::ProcessManager manager;
  absl::StatusOr<ko::ForkServer> server = ko::ForkServer::Start();  // early in main
  manager.UseForkServer(*server);
  ko::Process process = manager.Spawn<&TakeJobs>();
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ko::ExitStatus::Exited(0)));
}

int Length(const std::string& word) { return static_cast<int>(word.size()); }

TEST_F(ExamplesTest, APoolMeasuresWords) {
  const std::vector<std::string> words = {"a", "bc", "def"};
  absl::StatusOr<ko::ProcessPool> workers = ko::ProcessPool::Create({.workers = 2});
  ko::Future<int> length = workers->Submit<&Length>("seven");
  std::vector<absl::StatusOr<int>> lengths = workers->Map<&Length>(words);
  EXPECT_THAT(length.Get(), IsOkAndHolds(5));
  EXPECT_THAT(lengths, ::testing::ElementsAre(IsOkAndHolds(1), IsOkAndHolds(2), IsOkAndHolds(3)));
}

TEST_F(ExamplesTest, AChildDiesWithItsParent) {
  absl::StatusOr<ko::Child> child = ko::Fork([] { return 7; }, {.die_with_parent = true});
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(child->Wait().value(), ExitStatus::Exited(7));
}

int Square(int x) { return x * x; }

TEST_F(ExamplesTest, AThreadedProgramForksFromAServer) {
  // Early in main, before there are threads:
  absl::StatusOr<ko::ForkServer> server = ko::ForkServer::Start();
  ASSERT_THAT(server, IsOk());
  // Later, from any thread:
  absl::StatusOr<ko::Child> child = server->Fork<&Square>(5);
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(child->Wait().value(), ExitStatus::Exited(25));
}

TEST_F(ExamplesTest, ASemaphoreOfADeadHolderIsFree) {
  absl::StatusOr<ko::Semaphore> semaphore = ko::Semaphore::Create();
  ASSERT_THAT(semaphore, IsOk());
  absl::StatusOr<ko::Child> child = ko::Fork([&] {
    semaphore->Acquire().IgnoreError();
    ::raise(SIGKILL);  // with the permit
    return 0;
  });
  ASSERT_THAT(child, IsOk());
  ASSERT_THAT(child->Wait(), IsOk());
  absl::StatusOr<int> result = semaphore->LockExecute([] { return 42; });
  EXPECT_EQ(result.value(), 42);
  absl::Status tried = semaphore->TryExecute([] {});
  EXPECT_THAT(tried, IsOk());
}

TEST_F(ExamplesTest, MemoryIsSharedAsAMap) {
  absl::StatusOr<ko::SharedMemory> created = ko::SharedMemory::Create();
  ASSERT_THAT(created, IsOk());
  ko::SharedMemory& memory = *created;
  memory["n"] = 1;
  memory["n"] += 41;
  int n = memory["n"];
  bool is_there = memory.Contains("n");
  size_t count = memory.size();
  absl::Status erased = memory.Erase("n");
  EXPECT_EQ(n, 42);
  EXPECT_TRUE(is_there);
  EXPECT_EQ(count, 1u);
  EXPECT_THAT(erased, IsOk());
}

TEST_F(ExamplesTest, SignalsAreEvents) {
  absl::StatusOr<ko::SignalDispatcher> signals = ko::SignalDispatcher::Create();
  ASSERT_THAT(signals, IsOk());
  int reloads = 0;
  absl::Status added = signals->On(SIGHUP, [&](const ko::SignalInfo&) { ++reloads; });
  ASSERT_THAT(added, IsOk());
  ::raise(SIGHUP);
  absl::StatusOr<int> ran = signals->Dispatch();
  EXPECT_EQ(ran.value(), 1);
  EXPECT_EQ(reloads, 1);
}

TEST_F(ExamplesTest, ATitleIsPutBack) {
  const std::string before = ko::GetProcessTitle();
  {
    const ko::ScopedProcessTitle title("importing");
    EXPECT_EQ(ko::GetProcessTitle(), "importing");
  }
  EXPECT_EQ(ko::GetProcessTitle(), before);
}

TEST_F(ExamplesTest, AJobComesBackUntilItIsAcknowledged) {
  absl::StatusOr<std::unique_ptr<ko::SharedJobQueue>> queue = ko::SharedJobQueue::Create();
  ASSERT_THAT(queue, IsOk());
  ASSERT_THAT((*queue)->Publish("resize picture 7"), IsOk());
  absl::StatusOr<ko::Child> child = ko::Fork([&] {
    absl::StatusOr<ko::Job> lost = (*queue)->Receive();
    ::raise(SIGKILL);
    return 0;
  });
  ASSERT_THAT(child, IsOk());
  ASSERT_THAT(child->Wait(), IsOk());
  absl::StatusOr<ko::Job> job = (*queue)->Receive();
  ASSERT_THAT(job, IsOk());
  absl::Status done = job->Ack();
  EXPECT_THAT(done, IsOk());
}

int Resize(std::string_view job) { return job == "resize picture 7" ? 0 : 1; }

TEST_F(ExamplesTest, AJobTravelsOverABroker) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  {
    testing::RabbitMqServer server;
    const std::string url = server.Url("pictures");
    absl::StatusOr<std::unique_ptr<ko::JobQueue>> queue = ko::OpenJobQueue(url);
    ASSERT_THAT(queue, IsOk());
    absl::Status published = (*queue)->PublishAll({"resize picture 7", "resize picture 8"});
    ASSERT_THAT(published, IsOk());
    ko::ProcessManager manager;
    absl::StatusOr<ko::Job> job = (*queue)->Receive(absl::Seconds(30));
    ASSERT_THAT(job, IsOk());
    ko::Process process = manager.Fork([&](ko::Self&) { return Resize(job->body()); });
    absl::StatusOr<ko::ExitStatus> ended;
    do {
      ended = process.Wait((*queue)->Tend().value_or(absl::InfiniteDuration()));
    } while (absl::IsDeadlineExceeded(ended.status()));
    absl::Status settled = ended.ok() && ended->ok() ? job->Ack() : job->Nack();
    EXPECT_THAT(settled, IsOk());
    EXPECT_EQ((*queue)->Stats()->acked, 1u);
  }
  // The broker's orphans are this test's children, and all of them end.
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

}  // namespace
}  // namespace ko
