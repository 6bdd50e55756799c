#include "ko/amqp/amqp_status.h"

#include <rabbitmq-c/amqp.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ko {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(AmqpStatusTest, RepliesHaveTheirCodes) {
  const struct {
    AmqpStep step;
    int code;
    const char* text;
    absl::StatusCode expected;
  } cases[] = {
      {AmqpStep::kLogin, 403, "ACCESS_REFUSED", absl::StatusCode::kUnauthenticated},
      {AmqpStep::kOther, 403, "ACCESS_REFUSED", absl::StatusCode::kPermissionDenied},
      {AmqpStep::kOpenVhost, 530, "NOT_ALLOWED", absl::StatusCode::kPermissionDenied},
      {AmqpStep::kDeclareQueue, 406, "PRECONDITION_FAILED", absl::StatusCode::kAlreadyExists},
      {AmqpStep::kOther, 406, "PRECONDITION_FAILED", absl::StatusCode::kFailedPrecondition},
      {AmqpStep::kOther, 406, "PRECONDITION_FAILED - message size 9 is larger",
       absl::StatusCode::kInvalidArgument},
      {AmqpStep::kOther, 404, "NOT_FOUND", absl::StatusCode::kNotFound},
      {AmqpStep::kOther, 320, "CONNECTION_FORCED", absl::StatusCode::kUnavailable},
      {AmqpStep::kOther, 506, "RESOURCE_ERROR", absl::StatusCode::kResourceExhausted},
      {AmqpStep::kOther, 999, "unheard of", absl::StatusCode::kInternal},
  };
  for (const auto& each : cases) {
    const absl::Status status = AmqpReplyStatus(each.step, "the object", each.code, each.text);
    EXPECT_EQ(status.code(), each.expected) << status;
    EXPECT_THAT(status.message(), AllOf(HasSubstr("the object"), HasSubstr(each.text)));
  }
}

TEST(AmqpStatusTest, LibraryErrorsHaveTheirCodes) {
  const struct {
    int error;
    absl::StatusCode expected;
  } cases[] = {
      {AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED, absl::StatusCode::kNotFound},
      {AMQP_STATUS_SOCKET_ERROR, absl::StatusCode::kUnavailable},
      {AMQP_STATUS_CONNECTION_CLOSED, absl::StatusCode::kUnavailable},
      {AMQP_STATUS_HEARTBEAT_TIMEOUT, absl::StatusCode::kUnavailable},
      {AMQP_STATUS_TIMEOUT, absl::StatusCode::kDeadlineExceeded},
      {AMQP_STATUS_SSL_PEER_VERIFY_FAILED, absl::StatusCode::kUnauthenticated},
      {AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, absl::StatusCode::kUnauthenticated},
      {AMQP_STATUS_NO_MEMORY, absl::StatusCode::kResourceExhausted},
      {AMQP_STATUS_BAD_AMQP_DATA, absl::StatusCode::kInternal},
      {12345, absl::StatusCode::kInternal},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(AmqpLibraryStatus("connect", "host:1", each.error).code(), each.expected) << each.error;
  }
  EXPECT_THAT(AmqpLibraryStatus("connect", "host:1", AMQP_STATUS_TIMEOUT).message(),
              HasSubstr("connect(host:1): "));
}

}  // namespace
}  // namespace ko
