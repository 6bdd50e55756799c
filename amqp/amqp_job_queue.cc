#include "ko/amqp/amqp_job_queue.h"

#include "ko/amqp/amqp_queue_core.h"

namespace ko {

absl::StatusOr<std::unique_ptr<AmqpJobQueue>> AmqpJobQueue::Create(std::string_view url) {
  const absl::StatusOr<AmqpUrl> parsed = AmqpUrl::Parse(url);
  if (!parsed.ok()) return parsed.status();
  return std::unique_ptr<AmqpJobQueue>(new AmqpJobQueue(*parsed));
}

AmqpJobQueue::AmqpJobQueue(const AmqpUrl& url) : core_(std::make_shared<AmqpQueueCore>(url)) {}

AmqpJobQueue::~AmqpJobQueue() = default;

absl::Status AmqpJobQueue::Publish(std::string_view body, absl::Duration timeout) {
  return core_->Publish(1, [&](size_t) { return body; }, timeout);
}

absl::Status AmqpJobQueue::PublishAll(absl::Span<const std::string> bodies, absl::Duration timeout) {
  return core_->Publish(bodies.size(), [&](size_t i) { return std::string_view(bodies[i]); }, timeout);
}

absl::StatusOr<Job> AmqpJobQueue::Receive(absl::Duration timeout, Interrupt interrupt) {
  return core_->Receive(timeout, interrupt);
}

absl::Status AmqpJobQueue::Close() { return core_->Close(); }

absl::StatusOr<JobQueueStats> AmqpJobQueue::Stats() const { return core_->Stats(); }

absl::StatusOr<absl::Duration> AmqpJobQueue::Tend() { return core_->Tend(); }

absl::Status AmqpJobQueue::Connect() { return core_->Connect(); }

}  // namespace ko
