#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_queue_sleep_test_base.h"
#include "ko/ipc/test_child.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

// Signals that come to a sleeper.

namespace ko {
namespace {

using ::ko::testing::Gate;
using ::ko::testing::InChild;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

class JobQueueSignalTest : public JobQueueSleepTest {};

void DoNothing(int) {}

TEST_F(JobQueueSignalTest, ASignalDoesNotEndTheSleep) {
  Gate handled;
  static Gate* gate;
  gate = &handled;
  TestChild receiver([&] {
    struct sigaction action = {};
    action.sa_handler = [](int) { gate->Open(); };  // and no SA_RESTART
    ::sigaction(SIGUSR1, &action, nullptr);
    absl::StatusOr<Job> job = queue_->Receive();
    return job.ok() ? job->attempt() : 100;
  });
  AwaitAsleep(receiver, 1);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(::kill(receiver.pid(), SIGUSR1), 0);
    ASSERT_TRUE(handled.Pass());
  }
  ASSERT_THAT(queue_->Publish("a"), IsOk());
  EXPECT_EQ(receiver.Wait(), 1);
}

TEST_F(JobQueueSignalTest, SignalsDoNotProlongTheTimeout) {
  const auto result = InChild([&] {
    struct sigaction action = {};
    action.sa_handler = DoNothing;
    ::sigaction(SIGUSR1, &action, nullptr);
    TestChild pest([parent = ::getppid(), target = ::getpid()] {
      while (::getppid() != parent && ::kill(target, SIGUSR1) == 0) ::usleep(1000);
      return 0;
    });
    const absl::Time start = absl::Now();
    EXPECT_THAT(queue_->Receive(absl::Milliseconds(50)), StatusIs(absl::StatusCode::kDeadlineExceeded));
    EXPECT_GE(absl::Now() - start, absl::Milliseconds(49));
  });
  EXPECT_TRUE(result.ok());
}

TEST_F(JobQueueSignalTest, AnInterruptFromASignalHandlerEndsTheSleep) {
  static std::atomic<uint32_t> signals = 0;
  TestChild receiver([&] {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++signals; };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGTERM, &action, nullptr);
    return static_cast<int>(
        queue_->Receive(absl::InfiniteDuration(), {.word = &signals, .expected = 0}).status().code());
  });
  AwaitAsleep(receiver, 1);
  ASSERT_EQ(::kill(receiver.pid(), SIGTERM), 0);
  EXPECT_EQ(receiver.Wait(), static_cast<int>(absl::StatusCode::kCancelled));
}

TEST_F(JobQueueSignalTest, AnInterruptedSleeperPassesItsWakeUpOn) {
  // The first one to be woken is stopped, so that it finds the signal and the job together.
  for (int i = 0; i < 50; ++i) {
    static std::atomic<uint32_t> signals = 0;
    TestChild first([&] {
      ::signal(SIGTERM, [](int) { ++signals; });
      return queue_->Receive(absl::InfiniteDuration(), {.word = &signals, .expected = 0}).ok() ? 1 : 0;
    });
    AwaitAsleep(first, 1);
    TestChild second = Receiver();
    AwaitAsleep(second, 2);
    Stop(first);
    ASSERT_THAT(queue_->Publish("a"), IsOk());
    ::kill(first.pid(), SIGTERM);
    ::kill(first.pid(), SIGCONT);
    EXPECT_EQ(first.Wait(), 0);
    EXPECT_EQ(second.Wait(), 1);
  }
}

}  // namespace
}  // namespace ko
