#ifndef KO_AMQP_AMQP_CONNECTION_H_
#define KO_AMQP_AMQP_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/amqp/amqp_status.h"
#include "ko/amqp/amqp_url.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"

struct amqp_connection_state_t_;
struct amqp_frame_t_;
struct amqp_method_t_;
struct amqp_rpc_reply_t_;

namespace ko {

// A message that the broker has delivered and that waits for its acknowledgement.
struct AmqpDelivery {
  uint64_t tag = 0;
  uint64_t id = 0;  // of the message; 0 where its publisher gave it none
  int attempt = 1;
  std::string body;
};

// What has become of a published message.
enum class AmqpConfirm {
  kWaiting,
  kConfirmed,
  kRefused,   // the broker has no room for it
  kReturned,  // the queue is not there any more
};

// One connection to a broker with one channel, which publishes to one queue and consumes it. When anything goes wrong
// the connection is dead: it says so in each call, and its owner makes another.
//
// Threads: one at a time.
//
// Fork: only for the process that opened it; the destructor of a copy closes the child's descriptor and tells the broker
// nothing.
//
// Signals: calls go on.
//
// Crash: the kernel closes it, and the broker takes back what was not acknowledged.
//
// Errors: see amqp_status.h.
class AmqpConnection {
 public:
  // Connects, logs in, declares the queue, and asks for confirms.
  static absl::StatusOr<std::unique_ptr<AmqpConnection>> Open(const AmqpUrl& url,
                                                              const os::Deadline& deadline);
  AmqpConnection(const AmqpConnection&) = delete;
  AmqpConnection& operator=(const AmqpConnection&) = delete;
  ~AmqpConnection();

  bool BelongsToThisProcess() const;
  // Why the connection is dead; OK while it lives.
  const absl::Status& status() const { return status_; }

  // Sends a message; its number, for Confirm.
  absl::StatusOr<uint64_t> Publish(std::string_view body, uint64_t id, const os::Deadline& deadline);
  // Of a number that Publish gave and Forget has not been told.
  AmqpConfirm Confirm(uint64_t number) const;
  // The numbers below `number` will not be asked for any more.
  void Forget(uint64_t number);

  // Lets the broker send deliveries; called again, it does nothing.
  absl::Status Consume();
  // Deliveries that have come, oldest first.
  std::deque<AmqpDelivery>& deliveries() { return deliveries_; }
  absl::Status Ack(uint64_t tag);
  absl::Status Nack(uint64_t tag, bool requeue);

  // Sleeps until something has come from the broker and takes it all in; false when the deadline is over first.
  // Heartbeats are sent and expected meanwhile. Errors: Cancelled for the interrupt; else the connection is dead.
  absl::StatusOr<bool> Await(const os::Deadline& deadline, Interrupt interrupt = {});

  // How many messages wait in the queue.
  absl::StatusOr<uint32_t> CountReady(const os::Deadline& deadline);

 private:
  // A message that is coming in, frame by frame.
  struct Incoming {
    bool returned = false;  // it is one of ours that could not be routed
    AmqpDelivery delivery;
    std::optional<uint64_t> missing_bytes;  // not known before its header
  };

  explicit AmqpConnection(const AmqpUrl& url);
  absl::Status Connect(const os::Deadline& deadline);
  absl::Status Login(const os::Deadline& deadline);
  absl::Status SetUpChannel(const os::Deadline& deadline);
  absl::StatusOr<uint32_t> DeclareQueue(bool passive);
  absl::StatusOr<bool> TakeFrames();
  absl::Status TakeFrame(const amqp_frame_t_& frame);
  absl::Status TakeMethod(const amqp_method_t_& method);
  absl::Status TakeHeader(const amqp_frame_t_& frame);
  absl::Status TakeBody(std::string_view piece);
  void FinishIncoming();
  void TakeConfirm(uint64_t number, bool multiple, AmqpConfirm confirm);
  // The outcome of the last call of the library's that waited for an answer.
  absl::Status Reply(const amqp_rpc_reply_t_& reply, AmqpStep step);
  void SetRpcDeadline(const os::Deadline& deadline);
  absl::Status Dead(absl::Status why);
  absl::Status Sent(int result);

  const AmqpUrl url_;
  const uint64_t mark_;
  amqp_connection_state_t_* const state_;
  absl::Status status_;
  bool open_ = false;  // a broker's end is there to be told good-bye
  bool consuming_ = false;
  bool blocked_ = false;  // the broker is short of memory or disk, and takes no messages
  uint64_t next_number_ = 1;
  uint64_t first_number_ = 1;  // of confirms_
  std::deque<AmqpConfirm> confirms_;
  std::set<uint64_t> returned_;  // the ids of messages that came back
  std::deque<uint64_t> ids_;     // beside confirms_
  std::optional<Incoming> incoming_;
  std::deque<AmqpDelivery> deliveries_;
};

}  // namespace ko

#endif  // KO_AMQP_AMQP_CONNECTION_H_
