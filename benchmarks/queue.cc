// Jobs of `bytes` bytes, `batch` at a time: published and confirmed, then received and acknowledged one by one.
//   shm: SharedJobQueue
//   amqp: AmqpJobQueue, a broker of this program's own on loopback; one object publishes, another receives
//   bare: the same with rabbitmq-c as its examples use it: two connections, the same queue, persistent and mandatory
//         messages, as many unconfirmed and as many unacknowledged ones
// Where there is no rabbitmq-server only shm is measured.

#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/tcp_socket.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "ko/amqp/amqp_job_queue.h"
#include "ko/amqp/testing/rabbitmq_server.h"
#include "ko/ko.h"

namespace {

constexpr int kPrefetch = 100;
constexpr size_t kWindow = 512;  // messages that wait for their confirms, as in AmqpJobQueue

// A broker that has just started is slow for a while, at the cost of whoever comes first.
void WarmUp(const std::string& url) {
  const std::unique_ptr<ko::AmqpJobQueue> queue = *ko::AmqpJobQueue::Create(url);
  const std::vector<std::string> bodies(500, std::string(64, 'x'));
  for (int round = 0; round < 20 && queue->PublishAll(bodies).ok(); ++round) {
    for (size_t i = 0; i < bodies.size(); ++i) {
      if (absl::StatusOr<ko::Job> job = queue->Receive(); job.ok()) job->Ack().IgnoreError();
    }
  }
}

// Started by the first benchmark that needs it: listing them is to be quick.
std::optional<ko::testing::RabbitMqServer> broker;
ko::testing::RabbitMqServer& Broker() {
  if (!broker.has_value()) {
    broker.emplace();
    WarmUp(broker->Url("warm_up", absl::StrCat("&prefetch=", kPrefetch)));
  }
  return *broker;
}

void Measure(benchmark::State& state, ko::JobQueue& publisher, ko::JobQueue& receiver) {
  const std::vector<std::string> bodies(state.range(1), std::string(state.range(0), 'x'));
  for (auto _ : state) {
    const absl::Status published =
        bodies.size() == 1 ? publisher.Publish(bodies[0]) : publisher.PublishAll(bodies);
    if (!published.ok()) return state.SkipWithError(published.ToString());
    for (size_t i = 0; i < bodies.size(); ++i) {
      absl::StatusOr<ko::Job> job = receiver.Receive();
      if (!job.ok()) return state.SkipWithError(job.status().ToString());
      if (absl::Status done = job->Ack(); !done.ok()) return state.SkipWithError(done.ToString());
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(bodies.size()));
}

void Shm(benchmark::State& state) {
  const std::unique_ptr<ko::SharedJobQueue> queue = *ko::SharedJobQueue::Create({.capacity_bytes = 64 << 20});
  Measure(state, *queue, *queue);
}

void Amqp(benchmark::State& state) {
  const std::string url = Broker().Url("amqp", absl::StrCat("&prefetch=", kPrefetch));
  const std::unique_ptr<ko::AmqpJobQueue> publisher = *ko::AmqpJobQueue::Create(url);
  const std::unique_ptr<ko::AmqpJobQueue> receiver = *ko::AmqpJobQueue::Create(url);
  for (ko::AmqpJobQueue* queue : {publisher.get(), receiver.get()}) {
    if (absl::Status made = queue->Connect(); !made.ok()) return state.SkipWithError(made.ToString());
  }
  Measure(state, *publisher, *receiver);
}

// A connection with one channel, written as the library's examples are.
class BareConnection {
 public:
  explicit BareConnection(int port) : state_(amqp_new_connection()) {
    ok_ = amqp_socket_open(amqp_tcp_socket_new(state_), "127.0.0.1", port) == AMQP_STATUS_OK &&
          amqp_login(state_, "/", 0, 128 << 10, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
              AMQP_RESPONSE_NORMAL;
    if (!ok_) return;
    amqp_channel_open(state_, kChannel);
    amqp_queue_declare(state_, kChannel, kQueue, /*passive=*/0, /*durable=*/1, /*exclusive=*/0,
                       /*auto_delete=*/0, amqp_empty_table);
    ok_ = amqp_get_rpc_reply(state_).reply_type == AMQP_RESPONSE_NORMAL;
  }
  ~BareConnection() {
    if (ok_) amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }

  void SelectConfirms() { amqp_confirm_select(state_, kChannel); }
  void Consume() {
    amqp_basic_qos(state_, kChannel, 0, kPrefetch, 0);
    amqp_basic_consume(state_, kChannel, kQueue, amqp_empty_bytes, /*no_local=*/0, /*no_ack=*/0,
                       /*exclusive=*/0, amqp_empty_table);
  }

  bool ok() const { return ok_; }

  void Publish(const std::string& body) {
    while (ok_ && unconfirmed_.size() >= kWindow) AwaitConfirm();
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.delivery_mode = 2;
    ok_ = ok_ &&
          amqp_basic_publish(state_, kChannel, amqp_empty_bytes, kQueue, /*mandatory=*/1, /*immediate=*/0,
                             &properties, amqp_cstring_bytes(body.c_str())) == AMQP_STATUS_OK;
    unconfirmed_.insert(unconfirmed_.end(), next_number_++);
  }

  void AwaitConfirms() {
    while (ok_ && !unconfirmed_.empty()) AwaitConfirm();
  }

  void ReceiveAndAck() {
    amqp_maybe_release_buffers(state_);
    amqp_envelope_t envelope;
    ok_ = ok_ && amqp_consume_message(state_, &envelope, nullptr, 0).reply_type == AMQP_RESPONSE_NORMAL;
    if (!ok_) return;
    ok_ = amqp_basic_ack(state_, kChannel, envelope.delivery_tag, /*multiple=*/0) == AMQP_STATUS_OK;
    amqp_destroy_envelope(&envelope);
  }

 private:
  static constexpr amqp_channel_t kChannel = 1;
  const amqp_bytes_t kQueue = amqp_cstring_bytes("bare");

  void AwaitConfirm() {
    amqp_maybe_release_buffers(state_);
    amqp_frame_t frame;
    ok_ = amqp_simple_wait_frame(state_, &frame) == AMQP_STATUS_OK && frame.frame_type == AMQP_FRAME_METHOD &&
          frame.payload.method.id == AMQP_BASIC_ACK_METHOD;
    if (!ok_) return;
    const auto& ack = *static_cast<amqp_basic_ack_t*>(frame.payload.method.decoded);
    if (ack.multiple) {
      unconfirmed_.erase(unconfirmed_.begin(), unconfirmed_.upper_bound(ack.delivery_tag));
    } else {
      unconfirmed_.erase(ack.delivery_tag);
    }
  }

  amqp_connection_state_t const state_;
  bool ok_ = false;
  uint64_t next_number_ = 1;
  std::set<uint64_t> unconfirmed_;
};

void Bare(benchmark::State& state) {
  BareConnection publisher(Broker().port());
  BareConnection receiver(Broker().port());
  publisher.SelectConfirms();
  receiver.Consume();
  const std::string body(state.range(0), 'x');
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(1); ++i) publisher.Publish(body);
    publisher.AwaitConfirms();
    for (int64_t i = 0; i < state.range(1); ++i) receiver.ReceiveAndAck();
    if (!publisher.ok() || !receiver.ok()) return state.SkipWithError("rabbitmq-c failed");
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
}

}  // namespace

int main(int argc, char** argv) {
  const bool has_broker = ko::testing::RabbitMqServer::IsInstalled();
  if (!has_broker)
    std::fprintf(stderr, "amqp and bare are skipped: %s\n", ko::testing::RabbitMqServer::kNotInstalled);
  // What is compared is measured one after the other.
  for (const int64_t bytes : {64, 4096}) {
    for (const int64_t batch : {1, 1000}) {
      for (const auto& [name, run] :
           {std::pair{"Queue/amqp", Amqp}, std::pair{"Queue/bare", Bare}, std::pair{"Queue/shm", Shm}}) {
        if (run != Shm && !has_broker) continue;
        benchmark::RegisterBenchmark(name, run)
            ->ArgNames({"bytes", "batch"})
            ->Args({bytes, batch})
            ->UseRealTime();
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("rabbitmq-c", amqp_version());
  benchmark::RunSpecifiedBenchmarks();
  broker.reset();
}
