#ifndef KO_IPC_JOB_QUEUE_SLEEP_TEST_BASE_H_
#define KO_IPC_JOB_QUEUE_SLEEP_TEST_BASE_H_

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "ko/ipc/job_queue.h"
#include "ko/ipc/test_child.h"
#include "ko/ipc/test_segment.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

namespace ko {

// What tests of sleeping receivers and publishers have in common.
class JobQueueSleepTest : public testing::LeakCheckedTest {
 protected:
  void Make(const SharedJobQueue::Options& options = {}) {
    absl::StatusOr<std::unique_ptr<SharedJobQueue>> queue = SharedJobQueue::Create(options);
    ASSERT_THAT(queue, testing::IsOk());
    queue_ = *std::move(queue);
  }
  void SetUp() override {
    LeakCheckedTest::SetUp();
    Make();
  }
  void TearDown() override {
    queue_.reset();
    LeakCheckedTest::TearDown();
  }

  // A child that takes one job, opens the gate, and keeps it until it is killed.
  TestChild Holder(testing::Gate& gate) {
    return TestChild([this, &gate] {
      absl::StatusOr<Job> job = queue_->Receive();
      if (!job.ok()) return 100;
      gate.Open();
      while (true) ::pause();
    });
  }
  // A child that takes one job, acknowledges it and exits with the number of its attempt.
  TestChild Receiver() {
    return TestChild([this] {
      absl::StatusOr<Job> job = queue_->Receive();
      return job.ok() && job->Ack().ok() ? job->attempt() : 100 + static_cast<int>(job.status().code());
    });
  }
  // The child sleeps in the kernel, and not only is about to.
  void AwaitAsleep(const TestChild& child, size_t receivers) {
    AwaitSleepingReceivers(*queue_, receivers);
    ASSERT_TRUE(testing::AwaitState(child.pid(), 'S'));
  }
  // Stops the child where it does not have the lock: a newcomer lets all sleepers look around for a moment.
  void Stop(const TestChild& child) {
    const std::atomic<uint32_t>& lock = SharedJobQueueTestPeer::Segment(*queue_).header->lock.word;
    while (true) {
      ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
      ASSERT_TRUE(testing::AwaitState(child.pid(), 'T'));
      if ((lock & FUTEX_TID_MASK) != static_cast<uint32_t>(child.pid())) return;
      ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
    }
  }

  std::unique_ptr<SharedJobQueue> queue_;
};

}  // namespace ko

#endif  // KO_IPC_JOB_QUEUE_SLEEP_TEST_BASE_H_
