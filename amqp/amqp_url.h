#ifndef KO_AMQP_AMQP_URL_H_
#define KO_AMQP_AMQP_URL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ko {

// Where a queue on an AMQP 0-9-1 broker is, and how it is used. A value.
//
//   amqp://user:password@host:port/vhost?queue=NAME&durable=true&prefetch=1
//   amqps://...                             TLS; the broker's certificate and name are checked
//
// Everything but the host and the queue may be left out. User, password, vhost and values are percent-decoded
// ("%2f" is a slash); an IPv6 address stands in brackets. Each parameter may stand once:
//
//   queue=NAME        1 to 255 bytes
//   durable=true      the queue and its messages outlive the broker
//   type=classic      or quorum, whose deliveries are counted one by one
//   prefetch=1        1 to 65535: how many unacknowledged jobs a receiver holds
//   heartbeat=60      seconds, 0 to 65535; 0: none
//   timeout=30        seconds, 1 to 86400: for connecting, for each answer of the broker, and for it to take what is sent to it
//   cacertfile=PATH   for amqps: who has signed the broker's certificate; the system's list where it is not given
//   certfile=PATH     for amqps: this client's certificate, and
//   keyfile=PATH      its key
//
// Threads: a value.
//
// Fork: a value.
//
// Signals: none.
//
// Crash: nothing to lose.
//
// Errors: InvalidArgument that names the part. No error holds the password.
struct AmqpUrl {
  bool tls = false;
  std::string user = "guest";
  std::string password = "guest";
  std::string host;  // without brackets
  int port = 5672;
  std::string vhost = "/";
  std::string queue;
  bool durable = true;
  bool quorum = false;
  int prefetch = 1;
  absl::Duration heartbeat = absl::Seconds(60);
  absl::Duration timeout = absl::Seconds(30);
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;

  static absl::StatusOr<AmqpUrl> Parse(std::string_view url);

  // "amqp://host:port/vhost?queue=NAME": for messages and titles. Without the user and the password.
  std::string Redacted() const;
  // "host:port", with brackets around an IPv6 address.
  std::string Address() const;
};

}  // namespace ko

#endif  // KO_AMQP_AMQP_URL_H_
