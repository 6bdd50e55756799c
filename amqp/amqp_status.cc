#include "ko/amqp/amqp_status.h"

#include <rabbitmq-c/amqp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ko {
namespace {

std::string_view StepName(AmqpStep step) {
  switch (step) {
    case AmqpStep::kLogin:
      return "login";
    case AmqpStep::kOpenVhost:
      return "open vhost";
    case AmqpStep::kDeclareQueue:
      return "declare queue";
    case AmqpStep::kOther:
      break;
  }
  return "broker";
}

absl::StatusCode ReplyCode(AmqpStep step, int code, std::string_view text) {
  switch (code) {
    case AMQP_ACCESS_REFUSED:
      return step == AmqpStep::kLogin ? absl::StatusCode::kUnauthenticated
                                      : absl::StatusCode::kPermissionDenied;
    case AMQP_NOT_ALLOWED:
    case AMQP_RESOURCE_LOCKED:
      return absl::StatusCode::kPermissionDenied;
    case AMQP_NOT_FOUND:
    case AMQP_INVALID_PATH:
      return absl::StatusCode::kNotFound;
    case AMQP_PRECONDITION_FAILED:
      if (step == AmqpStep::kDeclareQueue) return absl::StatusCode::kAlreadyExists;
      return absl::StrContains(text, "message size") ? absl::StatusCode::kInvalidArgument
                                                     : absl::StatusCode::kFailedPrecondition;
    case AMQP_CONTENT_TOO_LARGE:
      return absl::StatusCode::kInvalidArgument;
    case AMQP_RESOURCE_ERROR:
      return absl::StatusCode::kResourceExhausted;
    case AMQP_CONNECTION_FORCED:
    case AMQP_INTERNAL_ERROR:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusCode LibraryCode(int error) {
  switch (error) {
    case AMQP_STATUS_NO_MEMORY:
      return absl::StatusCode::kResourceExhausted;
    case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED:
      return absl::StatusCode::kNotFound;
    case AMQP_STATUS_TIMEOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case AMQP_STATUS_CONNECTION_CLOSED:
    case AMQP_STATUS_SOCKET_CLOSED:
    case AMQP_STATUS_SOCKET_ERROR:
    case AMQP_STATUS_TCP_ERROR:
    case AMQP_STATUS_HEARTBEAT_TIMEOUT:
    case AMQP_STATUS_SSL_ERROR:  // of a connection that was made: it broke
      return absl::StatusCode::kUnavailable;
    case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
    case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
    case AMQP_STATUS_SSL_CONNECTION_FAILED:
      return absl::StatusCode::kUnauthenticated;
    case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD:
    case AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
      return absl::StatusCode::kUnimplemented;
    case AMQP_STATUS_TABLE_TOO_BIG:
    case AMQP_STATUS_INVALID_PARAMETER:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status AmqpReplyStatus(AmqpStep step, std::string_view object, int code, std::string_view text) {
  return absl::Status(ReplyCode(step, code, text),
                      absl::StrCat(StepName(step), "(", object, "): ", text, " [", code, "]"));
}

absl::Status AmqpLibraryStatus(std::string_view operation, std::string_view object, int error) {
  return absl::Status(LibraryCode(error),
                      absl::StrCat(operation, "(", object, "): ", amqp_error_string2(error)));
}

}  // namespace ko
