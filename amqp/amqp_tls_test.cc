// amqps:// checks the broker's certificate and its name.

#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/amqp/amqp_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/process/command.h"
#include "ko/process/exec.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

class AmqpTlsTest : public testing::LeakCheckedTest {
 protected:
  // Orphans of what was killed, the broker's too, are this test's children, and all of them end.
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    testing::LeakCheckedTest::TearDown();
  }

  // A certificate for `name` that signs itself, and its key.
  void MakeCertificate(const std::string& file, const std::string& name) {
    absl::StatusOr<Child> openssl =
        Exec({.argv = {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                       "/CN=" + name, "-addext", "subjectAltName=DNS:" + name, "-out",
                       folder_.File(file + ".pem"), "-keyout", folder_.File(file + ".key")},
              .stderr_to = Stdio::File(folder_.File("log"))});
    ASSERT_THAT(openssl, IsOk());
    ASSERT_TRUE(openssl->Wait()->ok()) << testing::ReadFile(folder_.File("log"));
  }

  testing::TempDir folder_;
};

TEST_F(AmqpTlsTest, OnlyTheCertificateAndNameThatAreTrustedWillDo) {
  if (!testing::RabbitMqServer::IsInstalled()) GTEST_SKIP() << testing::RabbitMqServer::kNotInstalled;
  MakeCertificate("good", "localhost");
  MakeCertificate("other", "localhost");
  const std::string ca = folder_.File("good.pem");
  testing::RabbitMqServer server({{ca, ca, folder_.File("good.key")}});
  const auto publish = [&](const std::string& host, int port, const std::string& more) {
    return (*AmqpJobQueue::Create(absl::StrCat("amqps://", host, ":", port, "?queue=q", more)))
        ->Publish("job");
  };
  const int port = server.tls_port();
  EXPECT_THAT(publish("localhost", port, "&cacertfile=" + ca), IsOk());
  EXPECT_THAT(publish("localhost", port, "&cacertfile=" + folder_.File("other.pem")),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("localhost")));
  EXPECT_THAT(publish("localhost", port, ""),
              StatusIs(absl::StatusCode::kUnauthenticated));  // not the system's
  EXPECT_THAT(publish("127.0.0.1", port, "&cacertfile=" + ca),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("127.0.0.1")));
  EXPECT_THAT(publish("localhost", port, "&cacertfile=/nowhere.pem"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("/nowhere.pem")));
  EXPECT_THAT(publish("localhost", server.port(), "&cacertfile=" + ca).ok(),
              ::testing::IsFalse());  // no TLS there

  auto queue = *AmqpJobQueue::Create(absl::StrCat("amqps://localhost:", port, "?queue=q&cacertfile=", ca));
  absl::StatusOr<Job> job = queue->Receive(absl::Seconds(50));
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->body(), "job");
  // A child's good-bye does not end the parent's session.
  EXPECT_TRUE(testing::InChild([&] { job = absl::UnknownError(""), queue.reset(); }).ok());
  EXPECT_THAT(job->Ack(), IsOk());
  EXPECT_THAT(queue->PublishAll(std::vector<std::string>(100, std::string(20'000, 'x'))), IsOk());
  for (int i = 0; i < 100; ++i) {
    job = queue->Receive(absl::Seconds(50));
    ASSERT_THAT(job, IsOk());
    EXPECT_EQ(job->body().size(), 20'000u);
    EXPECT_THAT(job->Ack(), IsOk());
  }
}

}  // namespace
}  // namespace ko
