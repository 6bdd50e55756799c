#ifndef KO_AMQP_AMQP_STATUS_H_
#define KO_AMQP_AMQP_STATUS_H_

#include <string_view>

#include "absl/status/status.h"

namespace ko {

// What was being done when the broker refused it.
enum class AmqpStep { kLogin, kOpenVhost, kDeclareQueue, kOther };

// A broker's own refusal, by AMQP's reply codes: "STEP(OBJECT): TEXT [CODE]". Unauthenticated for a wrong user or
// password, PermissionDenied for a vhost or queue that this user may not have or that is not there, AlreadyExists for a
// queue with other properties, NotFound, InvalidArgument for a message that is too large, Unavailable for a broker that
// is going away. Pure.
absl::Status AmqpReplyStatus(AmqpStep step, std::string_view object, int code, std::string_view text);

// An error of the client library (amqp_status_enum), in the same form: NotFound for a host name, Unavailable for a
// connection that could not be made or is lost, DeadlineExceeded, Unauthenticated for a certificate. Pure.
absl::Status AmqpLibraryStatus(std::string_view operation, std::string_view object, int error);

}  // namespace ko

#endif  // KO_AMQP_AMQP_STATUS_H_
