// Workers that share nothing but the broker: each host has mounts, System V objects and a /dev/shm of its own.

#include <sched.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ko/amqp/amqp_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/os/shared_mapping.h"
#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/mount_over.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;

constexpr int kJobs = 1000;

class AmqpHostsTest : public testing::LeakCheckedTest {
 protected:
  // Orphans of the broker are this test's children, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }
};

// Makes this process the first of a host.
bool BecomeHost() { return ::unshare(CLONE_NEWIPC) == 0 && testing::MountOver("/dev/shm"); }

TEST_F(AmqpHostsTest, WorkersOnTwoHostsTakeTheirShare) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  if (testing::InChild([] { return std::string(BecomeHost() ? "yes" : ""); }).value.empty()) {
    GTEST_SKIP() << "this process may not make namespaces";
  }
  testing::RabbitMqServer server;
  std::vector<std::string> bodies(kJobs, "job");
  bodies.insert(bodies.end(), 2, "end");
  ASSERT_THAT((*AmqpJobQueue::Create(server.Url("jobs")))->PublishAll(bodies), IsOk());

  absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(2 * sizeof(std::atomic<int>));
  ASSERT_THAT(memory, IsOk());
  auto* const done = new (memory->data()) std::atomic<int>[2]{};
  testing::Gate has_one[2];
  const auto host = [&](int self) {
    if (!BecomeHost()) return 1;
    const auto queue = *AmqpJobQueue::Create(server.Url("jobs"));
    for (;;) {
      absl::StatusOr<Job> job = queue->Receive(absl::Seconds(50));
      if (!job.ok()) return 2;
      // Both hold a job before either goes on.
      if (done[self] == 0) {
        has_one[self].Open();
        if (!has_one[1 - self].Pass()) return 3;
      }
      const bool last = job->body() == "end";
      if (!last) ++done[self];
      if (!job->Ack().ok()) return 4;
      if (last) return 0;
    }
  };
  std::vector<Child> hosts;
  for (int i = 0; i < 2; ++i)
    hosts.push_back(*Fork([&host, i] { return host(i); }, {.die_with_parent = true}));
  for (Child& each : hosts) EXPECT_EQ(each.Wait()->exit_code(), 0);
  EXPECT_EQ(done[0] + done[1], kJobs);
  EXPECT_GT(done[0], 0);
  EXPECT_GT(done[1], 0);
  std::printf("host 1 did %d jobs, host 2 did %d\n", done[0].load(), done[1].load());
}

}  // namespace
}  // namespace ko
