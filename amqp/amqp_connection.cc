#include "ko/amqp/amqp_connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/poll_wait.h"
#include "ko/os/process_mark.h"

namespace ko {
namespace {

constexpr amqp_channel_t kChannel = 1;
constexpr int kFrameBytes = 128 << 10;
constexpr uint8_t kPersistent = 2;
// What is set aside for a body before it has come: a length alone is only a claim.
constexpr uint64_t kMaxReserveBytes = 1 << 20;
// For the broker's answer to our good-bye, which nobody needs.
constexpr absl::Duration kFarewell = absl::Seconds(1);

amqp_bytes_t Bytes(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string_view Text(amqp_bytes_t bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

timeval ToTimeval(const os::Deadline& deadline) {
  return absl::ToTimeval(std::clamp(deadline.remaining(), absl::Milliseconds(1), absl::Hours(24)));
}

amqp_table_entry_t BoolEntry(const char* name) {
  return {amqp_cstring_bytes(name), {AMQP_FIELD_KIND_BOOLEAN, {.boolean = 1}}};
}

// How often a quorum queue has delivered the message before: x-acquired-count counts each time, x-delivery-count, which
// older brokers have alone, those that failed.
int EarlierDeliveries(const amqp_basic_properties_t& properties) {
  if (!(properties._flags & AMQP_BASIC_HEADERS_FLAG)) return 0;
  int64_t most = 0;
  for (int i = 0; i < properties.headers.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.headers.entries[i];
    if (Text(entry.key) != "x-acquired-count" && Text(entry.key) != "x-delivery-count") continue;
    if (entry.value.kind == AMQP_FIELD_KIND_I64) most = std::max(most, entry.value.value.i64);
  }
  return static_cast<int>(std::min<int64_t>(most, std::numeric_limits<int>::max() - 1));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AmqpConnection>> AmqpConnection::Open(const AmqpUrl& url,
                                                                     const os::Deadline& deadline) {
  std::unique_ptr<AmqpConnection> connection(new AmqpConnection(url));
  if (connection->state_ == nullptr)
    return absl::ResourceExhaustedError("amqp_new_connection: out of memory");
  absl::Status status = connection->Connect(deadline);
  if (status.ok()) status = connection->Login(deadline);
  if (status.ok()) status = connection->SetUpChannel(deadline);
  if (!status.ok()) return status;
  return connection;
}

AmqpConnection::AmqpConnection(const AmqpUrl& url)
    : url_(url), mark_(os::ProcessMark()), state_(amqp_new_connection()) {}

AmqpConnection::~AmqpConnection() {
  if (state_ == nullptr) return;
  if (!BelongsToThisProcess()) {
    // The library would say good-bye over TLS: it gets something else to say it to.
    const int fd = amqp_get_sockfd(state_);
    if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
      if (fd >= 0) ::dup3(null, fd, O_CLOEXEC);
      ::close(null);
    } else if (fd >= 0) {
      ::close(fd);
      return;  // the rest of it would touch a descriptor that may become somebody else's
    }
  } else if (open_ && status_.ok()) {
    SetRpcDeadline(os::Deadline::After(kFarewell));
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
  }
  amqp_destroy_connection(state_);
}

bool AmqpConnection::BelongsToThisProcess() const { return mark_ == os::ProcessMark(); }

absl::Status AmqpConnection::Connect(const os::Deadline& deadline) {
  amqp_socket_t* socket = url_.tls ? amqp_ssl_socket_new(state_) : amqp_tcp_socket_new(state_);
  if (socket == nullptr) return absl::ResourceExhaustedError("AMQP socket: out of memory");
  if (url_.tls) {
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    const int trusted = url_.ca_file.empty() ? amqp_ssl_socket_enable_default_verify_paths(socket)
                                             : amqp_ssl_socket_set_cacert(socket, url_.ca_file.c_str());
    if (trusted != AMQP_STATUS_OK) {
      return absl::InvalidArgumentError(absl::StrCat("cacertfile(", url_.ca_file, "): it cannot be used"));
    }
    if (!url_.certificate_file.empty() && amqp_ssl_socket_set_key(socket, url_.certificate_file.c_str(),
                                                                  url_.key_file.c_str()) != AMQP_STATUS_OK) {
      return absl::InvalidArgumentError(absl::StrCat("certfile(", url_.certificate_file, "), keyfile(",
                                                     url_.key_file, "): they cannot be used"));
    }
  }
  const timeval timeout = ToTimeval(deadline);
  const int opened = amqp_socket_open_noblock(socket, url_.host.c_str(), url_.port, &timeout);
  if (opened != AMQP_STATUS_OK) return Dead(AmqpLibraryStatus("connect", url_.Address(), opened));
  // The library's writes have no deadline of their own: the kernel ends the connection where the broker does not take
  // what is sent to it for so long, whether it is stopped, its host is gone, or it keeps its window shut.
  const unsigned int patience_ms = static_cast<unsigned int>(absl::ToInt64Milliseconds(url_.timeout));
  if (::setsockopt(amqp_get_sockfd(state_), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms,
                   sizeof patience_ms) != 0) {
    return Dead(os::ErrnoStatus(errno, "setsockopt(TCP_USER_TIMEOUT)", url_.Address()));
  }
  return absl::OkStatus();
}

absl::Status AmqpConnection::Login(const os::Deadline& deadline) {
  const timeval timeout = ToTimeval(deadline);
  amqp_set_handshake_timeout(state_, &timeout);
  amqp_table_entry_t capabilities[] = {BoolEntry("publisher_confirms"), BoolEntry("consumer_cancel_notify"),
                                       BoolEntry("connection.blocked"), BoolEntry("basic.nack")};
  amqp_table_entry_t property;
  property.key = amqp_cstring_bytes("capabilities");
  property.value.kind = AMQP_FIELD_KIND_TABLE;
  property.value.value.table = {std::size(capabilities), capabilities};
  const amqp_table_t properties = {1, &property};
  const amqp_rpc_reply_t reply =
      amqp_login_with_properties(state_, url_.vhost.c_str(), /*channel_max=*/1, kFrameBytes,
                                 static_cast<int>(absl::ToInt64Seconds(url_.heartbeat)), &properties,
                                 AMQP_SASL_METHOD_PLAIN, url_.user.c_str(), url_.password.c_str());
  // A vhost is opened after the user has been let in.
  const bool vhost =
      reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD &&
      static_cast<amqp_connection_close_t*>(reply.reply.decoded)->reply_code == AMQP_NOT_ALLOWED;
  return Reply(reply, vhost ? AmqpStep::kOpenVhost : AmqpStep::kLogin);
}

absl::Status AmqpConnection::SetUpChannel(const os::Deadline& deadline) {
  open_ = true;
  SetRpcDeadline(deadline);
  amqp_channel_open(state_, kChannel);
  if (absl::Status status = Reply(amqp_get_rpc_reply(state_), AmqpStep::kOther); !status.ok()) return status;
  if (absl::StatusOr<uint32_t> ready = DeclareQueue(/*passive=*/false); !ready.ok()) return ready.status();
  amqp_basic_qos(state_, kChannel, 0, static_cast<uint16_t>(url_.prefetch), 0);
  if (absl::Status status = Reply(amqp_get_rpc_reply(state_), AmqpStep::kOther); !status.ok()) return status;
  amqp_confirm_select(state_, kChannel);
  return Reply(amqp_get_rpc_reply(state_), AmqpStep::kOther);
}

absl::StatusOr<uint32_t> AmqpConnection::DeclareQueue(bool passive) {
  amqp_table_entry_t entries[2];
  entries[0].key = amqp_cstring_bytes("x-queue-type");
  entries[0].value.kind = AMQP_FIELD_KIND_UTF8;
  entries[0].value.value.bytes = amqp_cstring_bytes("quorum");
  // Without it the broker would throw a job away after some attempts.
  entries[1].key = amqp_cstring_bytes("x-delivery-limit");
  entries[1].value.kind = AMQP_FIELD_KIND_I64;
  entries[1].value.value.i64 = -1;
  const amqp_table_t arguments = {url_.quorum ? 2 : 0, entries};
  const amqp_queue_declare_ok_t* declared =
      amqp_queue_declare(state_, kChannel, Bytes(url_.queue), passive, url_.durable, /*exclusive=*/0,
                         /*auto_delete=*/0, arguments);
  const absl::Status status = Reply(amqp_get_rpc_reply(state_), AmqpStep::kDeclareQueue);
  if (!status.ok()) return status;
  return declared->message_count;
}

absl::StatusOr<uint32_t> AmqpConnection::CountReady(const os::Deadline& deadline) {
  if (!status_.ok()) return status_;
  SetRpcDeadline(deadline);
  return DeclareQueue(/*passive=*/true);
}

absl::Status AmqpConnection::Consume() {
  if (!status_.ok() || consuming_) return status_;
  SetRpcDeadline(os::Deadline::After(url_.timeout));
  amqp_basic_consume(state_, kChannel, Bytes(url_.queue), amqp_empty_bytes, /*no_local=*/0, /*no_ack=*/0,
                     /*exclusive=*/0, amqp_empty_table);
  consuming_ = true;
  return Reply(amqp_get_rpc_reply(state_), AmqpStep::kOther);
}

absl::StatusOr<uint64_t> AmqpConnection::Publish(std::string_view body, uint64_t id,
                                                 const os::Deadline& deadline) {
  if (!status_.ok()) return status_;
  while (blocked_) {
    absl::StatusOr<bool> came = Await(deadline);
    if (!came.ok()) return came.status();
    if (!*came)
      return absl::ResourceExhaustedError("the broker is short of memory or disk and takes no messages");
  }

  const std::string message_id = absl::StrCat(id);
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
  properties.delivery_mode = url_.durable ? kPersistent : 1;
  properties.message_id = Bytes(message_id);
  const int sent = amqp_basic_publish(state_, kChannel, amqp_empty_bytes, Bytes(url_.queue), /*mandatory=*/1,
                                      /*immediate=*/0, &properties, Bytes(body));
  if (absl::Status status = Sent(sent); !status.ok()) return status;
  confirms_.push_back(AmqpConfirm::kWaiting);
  ids_.push_back(id);
  return next_number_++;
}

AmqpConfirm AmqpConnection::Confirm(uint64_t number) const { return confirms_[number - first_number_]; }

void AmqpConnection::Forget(uint64_t number) {
  for (; first_number_ < number && !confirms_.empty(); ++first_number_) {
    returned_.erase(ids_.front());
    confirms_.pop_front();
    ids_.pop_front();
  }
}

void AmqpConnection::TakeConfirm(uint64_t number, bool multiple, AmqpConfirm confirm) {
  if (number >= next_number_) return;
  for (uint64_t each = multiple ? first_number_ : number; each <= number; ++each) {
    if (each < first_number_) continue;
    AmqpConfirm& place = confirms_[each - first_number_];
    if (place != AmqpConfirm::kWaiting) continue;
    place = returned_.contains(ids_[each - first_number_]) ? AmqpConfirm::kReturned : confirm;
  }
}

absl::Status AmqpConnection::Ack(uint64_t tag) {
  if (!status_.ok()) return status_;
  return Sent(amqp_basic_ack(state_, kChannel, tag, /*multiple=*/0));
}

absl::Status AmqpConnection::Nack(uint64_t tag, bool requeue) {
  if (!status_.ok()) return status_;
  return Sent(amqp_basic_nack(state_, kChannel, tag, /*multiple=*/0, requeue));
}

absl::StatusOr<bool> AmqpConnection::Await(const os::Deadline& deadline, Interrupt interrupt) {
  if (!status_.ok()) return status_;
  for (;;) {
    // First what is there already: TLS may hold some that the socket does not show.
    const absl::StatusOr<bool> came = TakeFrames();
    if (!came.ok() || *came) return came;
    if (deadline.expired())
      return interrupt.fired() ? absl::StatusOr<bool>(absl::CancelledError("interrupted")) : false;
    // Awake in time to send a heartbeat, and to miss the broker's.
    const absl::Duration pause =
        url_.heartbeat > absl::ZeroDuration() ? url_.heartbeat / 2 : absl::InfiniteDuration();
    const os::Deadline nap = os::Deadline::After(std::min(deadline.remaining(), pause));
    const absl::StatusOr<bool> ready =
        os::PollWait(amqp_get_sockfd(state_), os::PollEvent::kReadable, nap, interrupt);
    if (absl::IsCancelled(ready.status())) return ready;
    if (!ready.ok()) return Dead(ready.status());
  }
}

absl::StatusOr<bool> AmqpConnection::TakeFrames() {
  for (bool any = false;; any = true) {
    amqp_frame_t frame;
    const timeval at_once = {0, 0};
    const int result = amqp_simple_wait_frame_noblock(state_, &frame, &at_once);
    if (result == AMQP_STATUS_TIMEOUT) {
      amqp_maybe_release_buffers(state_);
      return any;
    }
    if (result != AMQP_STATUS_OK) return Dead(AmqpLibraryStatus("connection", url_.Address(), result));
    if (absl::Status taken = TakeFrame(frame); !taken.ok()) return taken;
    // Another read would most often find nothing: whoever wants more comes again.
    if (!amqp_frames_enqueued(state_) && !amqp_data_in_buffer(state_)) {
      amqp_maybe_release_buffers(state_);
      return true;
    }
  }
}

absl::Status AmqpConnection::TakeFrame(const amqp_frame_t& frame) {
  switch (frame.frame_type) {
    case AMQP_FRAME_METHOD:
      return TakeMethod(frame.payload.method);
    case AMQP_FRAME_HEADER:
      return TakeHeader(frame);
    case AMQP_FRAME_BODY:
      return TakeBody(Text(frame.payload.body_fragment));
    default:
      return absl::OkStatus();
  }
}

absl::Status AmqpConnection::TakeMethod(const amqp_method_t& method) {
  switch (method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
      const auto& deliver = *static_cast<amqp_basic_deliver_t*>(method.decoded);
      incoming_.emplace();
      incoming_->delivery.tag = deliver.delivery_tag;
      incoming_->delivery.attempt = deliver.redelivered ? 2 : 1;
      return absl::OkStatus();
    }
    case AMQP_BASIC_RETURN_METHOD:
      incoming_.emplace().returned = true;
      return absl::OkStatus();
    case AMQP_BASIC_ACK_METHOD: {
      const auto& ack = *static_cast<amqp_basic_ack_t*>(method.decoded);
      TakeConfirm(ack.delivery_tag, ack.multiple, AmqpConfirm::kConfirmed);
      return absl::OkStatus();
    }
    case AMQP_BASIC_NACK_METHOD: {
      const auto& nack = *static_cast<amqp_basic_nack_t*>(method.decoded);
      TakeConfirm(nack.delivery_tag, nack.multiple, AmqpConfirm::kRefused);
      return absl::OkStatus();
    }
    case AMQP_CONNECTION_BLOCKED_METHOD:
      blocked_ = true;
      return absl::OkStatus();
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      blocked_ = false;
      return absl::OkStatus();
    case AMQP_BASIC_CANCEL_METHOD:
      return Dead(absl::UnavailableError(absl::StrCat("queue(", url_.queue, "): the broker has deleted it")));
    case AMQP_CHANNEL_CLOSE_METHOD: {
      const auto& close = *static_cast<amqp_channel_close_t*>(method.decoded);
      return Dead(AmqpReplyStatus(AmqpStep::kOther, url_.queue, close.reply_code, Text(close.reply_text)));
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
      const auto& close = *static_cast<amqp_connection_close_t*>(method.decoded);
      return Dead(
          AmqpReplyStatus(AmqpStep::kOther, url_.Address(), close.reply_code, Text(close.reply_text)));
    }
    default:
      return absl::OkStatus();
  }
}

absl::Status AmqpConnection::TakeHeader(const amqp_frame_t& frame) {
  if (!incoming_.has_value()) return Dead(absl::InternalError("AMQP: a header without a delivery"));
  const auto& properties = *static_cast<amqp_basic_properties_t*>(frame.payload.properties.decoded);
  AmqpDelivery& delivery = incoming_->delivery;
  if (properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) {
    if (!absl::SimpleAtoi(Text(properties.message_id), &delivery.id)) delivery.id = 0;
  }
  delivery.attempt = std::max(delivery.attempt, 1 + EarlierDeliveries(properties));
  incoming_->missing_bytes = frame.payload.properties.body_size;
  delivery.body.reserve(std::min(*incoming_->missing_bytes, kMaxReserveBytes));
  if (*incoming_->missing_bytes == 0) FinishIncoming();
  return absl::OkStatus();
}

absl::Status AmqpConnection::TakeBody(std::string_view piece) {
  if (!incoming_.has_value() || !incoming_->missing_bytes.has_value() ||
      piece.size() > *incoming_->missing_bytes) {
    return Dead(absl::InternalError("AMQP: a body without its header, or longer than that said"));
  }
  incoming_->delivery.body.append(piece);
  *incoming_->missing_bytes -= piece.size();
  if (*incoming_->missing_bytes == 0) FinishIncoming();
  return absl::OkStatus();
}

void AmqpConnection::FinishIncoming() {
  if (incoming_->returned) {
    returned_.insert(incoming_->delivery.id);  // its confirm comes after it
  } else {
    deliveries_.push_back(std::move(incoming_->delivery));
  }
  incoming_.reset();
}

absl::Status AmqpConnection::Reply(const amqp_rpc_reply_t_& reply, AmqpStep step) {
  const std::string object = step == AmqpStep::kDeclareQueue ? url_.queue
                             : step == AmqpStep::kOpenVhost  ? url_.vhost
                                                             : url_.Address();
  switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
      return absl::OkStatus();
    case AMQP_RESPONSE_SERVER_EXCEPTION:
      if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const auto& close = *static_cast<amqp_connection_close_t*>(reply.reply.decoded);
        return Dead(AmqpReplyStatus(step, object, close.reply_code, Text(close.reply_text)));
      }
      if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const auto& close = *static_cast<amqp_channel_close_t*>(reply.reply.decoded);
        return Dead(AmqpReplyStatus(step, object, close.reply_code, Text(close.reply_text)));
      }
      return Dead(absl::InternalError("AMQP: an answer that was not asked for"));
    default:
      return Dead(
          AmqpLibraryStatus(step == AmqpStep::kLogin ? "login" : "broker", object, reply.library_error));
  }
}

void AmqpConnection::SetRpcDeadline(const os::Deadline& deadline) {
  const timeval timeout = ToTimeval(deadline);
  amqp_set_rpc_timeout(state_, &timeout);
}

absl::Status AmqpConnection::Sent(int result) {
  if (result == AMQP_STATUS_OK) return absl::OkStatus();
  const absl::Status failed = AmqpLibraryStatus("send", url_.Address(), result);
  // Why a broker hung up stands in what it sent before.
  if (absl::IsUnavailable(failed)) {
    absl::StatusOr<bool> last_words = true;
    while (last_words.ok() && *last_words) last_words = TakeFrames();
    if (!last_words.ok()) return status_;
  }
  return Dead(failed);
}

absl::Status AmqpConnection::Dead(absl::Status why) {
  if (status_.ok()) status_ = std::move(why);
  return status_;
}

}  // namespace ko
