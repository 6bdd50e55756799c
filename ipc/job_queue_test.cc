#include "ko/ipc/job_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/ipc/test_child.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::ko::testing::FailSyscall;
using ::ko::testing::InChild;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kNoWait = absl::ZeroDuration();

std::unique_ptr<SharedJobQueue> MakeQueue(const SharedJobQueue::Options& options = {}) {
  absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue = SharedJobQueue::Create(options);
  EXPECT_THAT(queue, IsOk());
  return *std::move(queue);
}

std::string Text(size_t bytes, unsigned seed = 1) {
  std::minstd_rand random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// A loop with a load: what is synchronized by wait() alone, the thread sanitizer does not see.
void AwaitStep(const std::atomic<int>& step, int value) {
  while (step.load() != value) step.wait(value - 1);
}

class JobQueueTest : public testing::LeakCheckedTest {};

TEST_F(JobQueueTest, APublishedJobIsReceived) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("hello"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->body(), "hello");
  EXPECT_EQ(job->attempt(), 1);
  EXPECT_EQ(job->id(), 1u);
  EXPECT_THAT(job->Ack(), IsOk());
  EXPECT_THAT(queue->Receive(kNoWait), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(JobQueueTest, TheOldestComesFirst) {
  const auto queue = MakeQueue();
  for (int i = 0; i < 100; ++i) ASSERT_THAT(queue->Publish(absl::StrCat(i)), IsOk());
  for (int i = 0; i < 100; ++i) {
    absl::StatusOr<Job> job = queue->Receive(kNoWait);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), absl::StrCat(i));
    EXPECT_THAT(job->Ack(), IsOk());
  }
}

TEST_F(JobQueueTest, AnyBodyComesOutAsItWentIn) {
  const auto queue = MakeQueue();
  for (size_t bytes : {0, 1, 64, 127, 128, 129, 255, 256, 257, 4096, 64 << 10, 1 << 20}) {
    const std::string body = Text(bytes);
    ASSERT_THAT(queue->Publish(body), IsOk()) << bytes;
    absl::StatusOr<Job> job = queue->Receive(kNoWait);
    ASSERT_THAT(job, IsOk()) << bytes;
    EXPECT_TRUE(job->body() == body) << bytes;
    EXPECT_THAT(job->Ack(), IsOk());
  }
  EXPECT_EQ(queue->Stats()->used_bytes, 0u);
}

TEST_F(JobQueueTest, ABodyBeyondTheLimitIsRefused) {
  const auto queue = MakeQueue({.capacity_bytes = 1000, .max_body_bytes = 100});
  EXPECT_THAT(queue->Publish(Text(100)), IsOk());
  EXPECT_THAT(queue->Publish(Text(101)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
  EXPECT_EQ(queue->Stats()->published, 1u);
}

TEST_F(JobQueueTest, WithoutALimitABodyMayFillTheCapacity) {
  const auto queue = MakeQueue({.capacity_bytes = 1000});
  EXPECT_THAT(queue->Publish(Text(1001)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(queue->Publish(Text(1000)), IsOk());
  EXPECT_THAT(queue->Publish("x"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(queue->Publish(""), IsOk()) << "an empty body takes no storage";
}

TEST_F(JobQueueTest, AFullOneRefusesAndStaysAsItIs) {
  const auto queue = MakeQueue({.capacity_bytes = 1024});
  for (int i = 0; i < 8; ++i) ASSERT_THAT(queue->Publish(absl::StrCat(i)), IsOk());
  EXPECT_THAT(queue->Publish("x"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(queue->Publish("x", absl::Milliseconds(1)), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(queue->Publish("x", -absl::InfiniteDuration()), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(queue->Stats()->used_bytes, 1024u);
  absl::StatusOr<Job> job = queue->Receive(kNoWait);
  EXPECT_THAT(queue->Publish("x"), StatusIs(absl::StatusCode::kResourceExhausted))
      << "a leased job takes room";
  ASSERT_THAT(job->Ack(), IsOk());
  EXPECT_THAT(queue->Publish("8"), IsOk());
  for (int i = 1; i <= 8; ++i) {
    job = queue->Receive(kNoWait);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body(), absl::StrCat(i));
    ASSERT_THAT(job->Ack(), IsOk());
  }
}

TEST_F(JobQueueTest, TheNumberOfJobsIsLimitedToo) {
  const auto queue = MakeQueue({.max_jobs = 2});
  EXPECT_THAT(queue->Publish(""), IsOk());
  EXPECT_THAT(queue->Publish(""), IsOk());
  EXPECT_THAT(queue->Publish(""), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(JobQueueTest, WaitingForNothingEndsWithTheTimeout) {
  const auto queue = MakeQueue();
  EXPECT_THAT(queue->Receive(kNoWait), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(queue->Receive(-absl::Seconds(1)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  const absl::Time start = absl::Now();
  EXPECT_THAT(queue->Receive(absl::Milliseconds(20)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(19));
  EXPECT_EQ(queue->Stats()->sleeping_receivers, 0u);
}

TEST_F(JobQueueTest, AJobThatComesBackKeepsItsPlace) {
  const auto queue = MakeQueue();
  for (const char* body : {"a", "b", "c", "d"}) ASSERT_THAT(queue->Publish(body), IsOk());
  absl::StatusOr<Job> a = queue->Receive(kNoWait);
  absl::StatusOr<Job> b = queue->Receive(kNoWait);
  absl::StatusOr<Job> c = queue->Receive(kNoWait);
  ASSERT_THAT(c->Nack(), IsOk());
  ASSERT_THAT(a->Nack(), IsOk());
  a = queue->Receive(kNoWait);
  EXPECT_EQ(a->body(), "a");
  EXPECT_EQ(a->attempt(), 2);
  c = queue->Receive(kNoWait);
  EXPECT_EQ(c->body(), "c");
  EXPECT_EQ(c->attempt(), 2);
  absl::StatusOr<Job> d = queue->Receive(kNoWait);
  EXPECT_EQ(d->body(), "d");
  EXPECT_EQ(d->attempt(), 1);
  EXPECT_EQ(queue->Stats()->redelivered, 2u);
}

TEST_F(JobQueueTest, EachDeliveryCountsAnAttempt) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("again"), IsOk());
  for (int attempt = 1; attempt <= 50; ++attempt) {
    absl::StatusOr<Job> job = queue->Receive(kNoWait);
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->attempt(), attempt);
    EXPECT_EQ(job->id(), 1u);
    if (attempt % 2 == 0) {
      EXPECT_THAT(job->Nack(), IsOk());
    }  // else its destructor hands it back
  }
}

TEST_F(JobQueueTest, ADroppedJobIsGone) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("poison"), IsOk());
  EXPECT_THAT(queue->Receive(kNoWait)->Nack(false), IsOk());
  EXPECT_THAT(queue->Receive(kNoWait), StatusIs(absl::StatusCode::kDeadlineExceeded));
  const JobQueueStats stats = *queue->Stats();
  EXPECT_EQ(stats.dropped, 1u);
  EXPECT_EQ(stats.acked, 0u);
  EXPECT_EQ(stats.used_bytes, 0u);
}

TEST_F(JobQueueTest, StatsCountEachJobOnce) {
  const auto queue = MakeQueue({.capacity_bytes = 10000});
  for (int i = 0; i < 5; ++i) ASSERT_THAT(queue->Publish(Text(200)), IsOk());
  EXPECT_THAT(queue->Receive(kNoWait)->Ack(), IsOk());
  absl::StatusOr<Job> held = queue->Receive(kNoWait);
  const JobQueueStats stats = *queue->Stats();
  EXPECT_EQ(stats.published, 5u);
  EXPECT_EQ(stats.acked, 1u);
  EXPECT_EQ(stats.leased, 1u);
  EXPECT_EQ(stats.ready, 3u);
  EXPECT_EQ(stats.dropped, 0u);
  EXPECT_EQ(stats.redelivered, 0u);
  EXPECT_EQ(stats.used_bytes, 4 * 256u);
  EXPECT_EQ(stats.capacity_bytes, 10112u) << "whole blocks";
}

TEST_F(JobQueueTest, StorageIsUsedAgainForEver) {
  const auto queue = MakeQueue({.capacity_bytes = 64 << 10});
  std::minstd_rand random(42);
  std::vector<std::pair<Job, std::string>> held;
  uint64_t published = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string body = Text(random() % 4 == 0 ? random() % 20'000 : random() % 300, i);
    if (queue->Publish(body).ok()) ++published;
    if (random() % 2 == 0) {
      absl::StatusOr<Job> job = queue->Receive(kNoWait);
      if (!job.ok()) continue;
      std::string copy(job->body());
      held.emplace_back(*std::move(job), std::move(copy));
    }
    while (held.size() > 3 || (!held.empty() && random() % 2 == 0)) {
      const size_t index = random() % held.size();
      ASSERT_THAT(held[index].first.Ack(), IsOk());
      held.erase(held.begin() + index);
    }
  }
  held.clear();
  for (absl::StatusOr<Job> job = queue->Receive(kNoWait); job.ok(); job = queue->Receive(kNoWait))
    ASSERT_THAT(job->Ack(), IsOk());
  const JobQueueStats stats = *queue->Stats();
  EXPECT_EQ(stats.used_bytes, 0u);
  EXPECT_EQ(stats.published, published);
  EXPECT_EQ(stats.acked, published);
  EXPECT_THAT(queue->Publish(Text(64 << 10)), IsOk()) << "all of it in one piece";
}

TEST_F(JobQueueTest, AClosedOneGivesTheRest) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  ASSERT_THAT(queue->Publish("b"), IsOk());
  EXPECT_THAT(queue->Close(), IsOk());
  EXPECT_THAT(queue->Close(), IsOk());
  EXPECT_THAT(queue->Publish("c"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(queue->Publish("c", absl::InfiniteDuration()), StatusIs(absl::StatusCode::kFailedPrecondition));
  absl::StatusOr<Job> a = queue->Receive();
  EXPECT_EQ(a->body(), "a");
  EXPECT_THAT(queue->Receive()->Ack(), IsOk());
  EXPECT_THAT(queue->Receive(kNoWait), StatusIs(absl::StatusCode::kDeadlineExceeded)) << "one is leased";
  EXPECT_THAT(a->Nack(), IsOk());
  EXPECT_THAT(queue->Receive()->Ack(), IsOk());
  EXPECT_THAT(queue->Receive(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(JobQueueTest, AFiredInterruptComesBeforeAReadyJob) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  const std::atomic<uint32_t> word = 1;
  EXPECT_THAT(queue->Receive(absl::InfiniteDuration(), {.word = &word, .expected = 0}),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(queue->Receive(absl::InfiniteDuration(), {.word = &word, .expected = 1}), IsOk());
}

TEST_F(JobQueueTest, AJobOutlivesTheQueueObject) {
  auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  queue.reset();
  EXPECT_EQ(job->body(), "a");
  EXPECT_THAT(job->Ack(), IsOk());
}

TEST_F(JobQueueTest, OtherQueuesOfTheSameThreadAreIndependent) {
  auto first = MakeQueue();
  auto second = MakeQueue();
  const auto third = MakeQueue();
  for (SharedJobQueue* queue : {first.get(), second.get(), third.get()})
    ASSERT_THAT(queue->Publish("a"), IsOk());
  second.reset();
  EXPECT_THAT(third->Receive()->Ack(), IsOk());
  first.reset();
  EXPECT_EQ(third->Stats()->acked, 1u);
}

TEST_F(JobQueueTest, BadOptionsAreRefused) {
  using Options = SharedJobQueue::Options;
  for (const Options& options : {Options{.capacity_bytes = 0}, Options{.capacity_bytes = SIZE_MAX},
                                 Options{.capacity_bytes = 100, .max_body_bytes = 101},
                                 Options{.max_jobs = SIZE_MAX}, Options{.max_participants = 0},
                                 Options{.max_participants = -1}, Options{.max_participants = INT_MAX}}) {
    EXPECT_THAT(SharedJobQueue::Create(options), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(JobQueueTest, WithoutMemoryThereIsNone) {
  const auto result = InChild([] {
    FailSyscall(SYS_mmap, ENOMEM);
    EXPECT_THAT(SharedJobQueue::Create(), StatusIs(absl::StatusCode::kResourceExhausted));
  });
  EXPECT_TRUE(result.ok());
}

TEST_F(JobQueueTest, WithoutFutexWaitvThereIsNone) {
  const auto result = InChild([] {
    FailSyscall(SYS_futex_waitv, ENOSYS);
    EXPECT_THAT(SharedJobQueue::Create(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("5.16")));
  });
  EXPECT_TRUE(result.ok());
}

TEST_F(JobQueueTest, AForkedCopyOfAJobDoesNothing) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  ASSERT_THAT(queue->Publish("b"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  std::optional<Job> destroyed = *queue->Receive();
  const auto result = InChild([&] {
    EXPECT_EQ(job->body(), "a");
    EXPECT_THAT(job->Ack(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
    destroyed.reset();
    EXPECT_EQ(queue->Stats()->leased, 2u);
  });
  EXPECT_TRUE(result.ok());
  EXPECT_THAT(job->Ack(), IsOk());
  EXPECT_THAT(destroyed->Ack(), IsOk());
}

TEST_F(JobQueueTest, AForkedChildOfAHolderIsItsOwnParticipant) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("parent's"), IsOk());
  ASSERT_THAT(queue->Publish("child's"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  const auto result = InChild([&] {
    absl::StatusOr<Job> own = queue->Receive();
    EXPECT_EQ(own->body(), "child's");
    // Ends with it; the parent's stays where it is.
    ::_exit(0);
  });
  EXPECT_TRUE(result.ok());
  EXPECT_THAT(job->Ack(), IsOk());
  job = queue->Receive();
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->body(), "child's");
  EXPECT_EQ(job->attempt(), 2);
}

TEST_F(JobQueueTest, DestructionInAForkedChildLeavesTheParentsLeases) {
  auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  const auto result = InChild([&] {
    EXPECT_THAT(queue->Stats(), IsOk());
    {
      const Job copy = *std::move(job);
    }
    queue.reset();
  });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(queue->Stats()->leased, 1u);
  EXPECT_THAT(job->Ack(), IsOk());
}

TEST_F(JobQueueTest, AProcessMadeWithoutTheCLibraryIsRefused) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  // The kernel does not hand a robust list on, and could not tell of this process's death.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  ASSERT_NE(pid, -1);
  if (pid == 0) ::_exit(queue->Receive().status().code() == absl::StatusCode::kFailedPrecondition ? 0 : 1);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(queue->Stats()->ready, 1u);
}

TEST_F(JobQueueTest, MoreParticipantsThanItHasRoomForAreRefused) {
  const auto queue = MakeQueue({.max_participants = 1});
  ASSERT_THAT(queue->Publish("a"), IsOk());
  const auto result = InChild([&] {
    EXPECT_THAT(queue->Receive(), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(queue->Publish("b"), StatusIs(absl::StatusCode::kResourceExhausted));
  });
  EXPECT_TRUE(result.ok());
  EXPECT_THAT(queue->Receive()->Ack(), IsOk());
}

TEST_F(JobQueueTest, TheDeadMakeRoomForNewParticipants) {
  const auto queue = MakeQueue({.max_participants = 2});
  ASSERT_THAT(queue->Publish("a"), IsOk());
  for (int attempt = 1; attempt <= 20; ++attempt) {
    TestChild child([&] {
      absl::StatusOr<Job> job = queue->Receive();
      return job.ok() ? job->attempt() : 100;
    });
    EXPECT_EQ(child.Wait(), attempt);
  }
}

TEST_F(JobQueueTest, AnotherThreadMayAcknowledge) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  std::thread([&] { EXPECT_THAT(job->Ack(), IsOk()); }).join();
  EXPECT_EQ(queue->Stats()->acked, 1u);
}

TEST_F(JobQueueTest, AThreadsLeasesEndWithIt) {
  const auto queue = MakeQueue();
  ASSERT_THAT(queue->Publish("a"), IsOk());
  std::optional<Job> lost;
  std::thread([&] { lost = *queue->Receive(); }).join();
  absl::StatusOr<Job> job = queue->Receive();
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->attempt(), 2);
  EXPECT_THAT(lost->Ack(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(job->Ack(), IsOk()) << "the lost lease has not touched this one";
}

TEST_F(JobQueueTest, ALostLeaseOfASlotThatIsUsedAgainIsNotFound) {
  const auto queue = MakeQueue({.max_jobs = 1});
  ASSERT_THAT(queue->Publish("a"), IsOk());
  std::optional<Job> lost;
  std::thread([&] { lost = *queue->Receive(); }).join();
  EXPECT_THAT(queue->Receive()->Ack(), IsOk());
  ASSERT_THAT(queue->Publish("b"), IsOk());
  absl::StatusOr<Job> job = queue->Receive();
  EXPECT_THAT(lost->Ack(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(job->Ack(), IsOk());
}

TEST_F(JobQueueTest, TheQueueMayEndBeforeAThreadThatHasUsedIt) {
  std::unique_ptr<SharedJobQueue> queue = MakeQueue();
  const auto other = MakeQueue();
  std::atomic<int> step = 0;
  std::thread thread([&] {
    EXPECT_THAT(queue->Publish("a"), IsOk());
    step = 1;
    step.notify_one();
    AwaitStep(step, 2);
    EXPECT_THAT(other->Publish("b"), IsOk());
  });
  AwaitStep(step, 1);
  queue.reset();
  step = 2;
  step.notify_one();
  thread.join();
  EXPECT_THAT(other->Receive(kNoWait), IsOk());
}

TEST_F(JobQueueTest, ThreadsShareTheWork) {
  const auto queue = MakeQueue({.capacity_bytes = 4096});
  constexpr int kThreads = 4;
  constexpr int kJobs = 2000;
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kJobs; ++j) EXPECT_THAT(queue->Publish("x", absl::InfiniteDuration()), IsOk());
    });
    threads.emplace_back([&] {
      for (absl::StatusOr<Job> job = queue->Receive(); job.ok(); job = queue->Receive()) {
        EXPECT_THAT(job->Ack(), IsOk());
        if (++done == kThreads * kJobs) {
          EXPECT_THAT(queue->Close(), IsOk());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, kThreads * kJobs);
  EXPECT_EQ(queue->Stats()->acked, uint64_t{kThreads * kJobs});
}

}  // namespace
}  // namespace ko
