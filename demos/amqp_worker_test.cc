// The ancestor's queue worker on a real broker: what it prints, and what ps shows of it.

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/amqp/amqp_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::demos {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AmqpWorkerTest : public testing::LeakCheckedTest {
 protected:
  // Orphans of the broker are this test's children, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }
};

TEST_F(AmqpWorkerTest, EachMessageHasItsProcessAndSigtermEndsTheWorkerAfterIt) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  testing::RabbitMqServer server;
  const auto queue = *AmqpJobQueue::Create(server.Url("hello"));
  ASSERT_TRUE(queue->PublishAll({"one", "two"}).ok());

  RunningDemo demo({"run", "amqp_worker", "--queue=" + server.Url("hello"), "--job_time=500ms"});
  ASSERT_NE(AwaitDescendantTitled(demo.pid(), "Job:processing two"), 0);
  EXPECT_EQ(DescendantsTitled(demo.pid(), "Worker:processJob two").size(), 1u);
  EXPECT_EQ(testing::ReadFile(absl::StrCat("/proc/", demo.pid(), "/cmdline")),
            std::string("Master:working...") + '\0');
  ASSERT_NE(AwaitDescendantTitled(demo.pid(), "Worker:waiting"), 0);
  ASSERT_TRUE(demo.child().Kill(SIGTERM).ok());
  const auto result = demo.Finish();
  EXPECT_TRUE(result.status.ok()) << result.err;
  EXPECT_EQ(result.out, "Done: one\nDone: two\nThe worker has left\n");
  EXPECT_THAT(result.err, Not(HasSubstr("guest")));
  EXPECT_EQ(queue->Stats()->ready, 0u);
}

}  // namespace
}  // namespace ko::demos
