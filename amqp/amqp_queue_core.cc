#include "ko/amqp/amqp_queue_core.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/amqp/reconnect_policy.h"
#include "ko/os/poll_wait.h"

namespace ko {
namespace {

// So many messages may be on their way before the oldest has been confirmed.
constexpr size_t kWindow = 512;

}  // namespace

absl::Status AmqpQueueCore::CheckUsable() const {
  if (connection_ != nullptr && !connection_->BelongsToThisProcess()) {
    return absl::FailedPreconditionError(
        absl::StrCat(url_.Redacted(), ": the connection is the parent's; a child opens a queue of its own"));
  }
  if (closed_) return absl::FailedPreconditionError(absl::StrCat(url_.Redacted(), ": the queue is closed"));
  return absl::OkStatus();
}

os::Deadline AmqpQueueCore::AnswerBy(const os::Deadline& deadline) const {
  return os::Deadline::After(deadline.remaining() + url_.timeout);
}

void AmqpQueueCore::Lost() {
  connection_.reset();
  stats_.leased = 0;
  again_.insert(again_.begin(), in_flight_.begin(), in_flight_.end());
  in_flight_.clear();
}

absl::Status AmqpQueueCore::EnsureConnected(const os::Deadline& deadline, Interrupt interrupt) {
  if (connection_ != nullptr && connection_->status().ok()) return absl::OkStatus();
  if (connection_ != nullptr) Lost();
  for (;;) {
    const os::Deadline attempt = os::Deadline::After(
        generation_ == 0 ? url_.timeout : std::clamp(deadline.remaining(), absl::Seconds(1), url_.timeout));
    absl::StatusOr<std::unique_ptr<AmqpConnection>> opened = AmqpConnection::Open(url_, attempt);
    if (opened.ok()) {
      connection_ = *std::move(opened);
      ++generation_;
      failures_ = 0;
      next_id_ = uint64_t{random_()} << 32 | random_();
      return absl::OkStatus();
    }
    // One that never worked is wrong rather than away.
    if (generation_ == 0 || !MayReconnect(opened.status())) return opened.status();
    ++failures_;
    const absl::Duration delay =
        ReconnectDelay(failures_, random_() / static_cast<double>(std::random_device::max()));
    if (deadline.remaining() < delay) return opened.status();
    const absl::StatusOr<bool> slept =
        os::PollWait(-1, os::PollEvent::kReadable, os::Deadline::After(delay), interrupt);
    if (!slept.ok()) return slept.status();
  }
}

absl::Status AmqpQueueCore::Connect() {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  return EnsureConnected(os::Deadline::After(url_.timeout));
}

absl::Status AmqpQueueCore::Publish(size_t count, absl::FunctionRef<std::string_view(size_t)> body,
                                    absl::Duration timeout) {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  const os::Deadline deadline = AnswerBy(os::Deadline::After(timeout));
  in_flight_.clear();
  again_.clear();
  next_ = 0;
  while (next_ < count || !again_.empty() || !in_flight_.empty()) {
    absl::Status status = EnsureConnected(deadline);
    if (!status.ok()) return status;
    status = Fill(count, body, deadline);
    if (status.ok()) {
      const absl::StatusOr<bool> came = connection_->Await(deadline);
      status = came.status();
      if (status.ok() && !*came) {
        // Nobody waits for these any more; a late confirm finds nothing.
        connection_.reset();
        return absl::DeadlineExceededError(absl::StrCat(url_.Redacted(), ": the broker has not confirmed ",
                                                        in_flight_.size(), " messages in time"));
      }
    }
    if (status.ok()) status = TakeConfirms();
    if (status.ok() || MayReconnect(connection_->status())) continue;
    connection_.reset();
    return status;
  }
  return absl::OkStatus();
}

absl::Status AmqpQueueCore::Fill(size_t count, absl::FunctionRef<std::string_view(size_t)> body,
                                 const os::Deadline& deadline) {
  while (in_flight_.size() < kWindow && (next_ < count || !again_.empty())) {
    // A message that is sent again keeps its id.
    const InFlight next =
        again_.empty() ? InFlight{0, next_, std::max<uint64_t>(next_id_++, 1)} : again_.front();
    const absl::StatusOr<uint64_t> number = connection_->Publish(body(next.index), next.id, deadline);
    if (!number.ok()) return number.status();
    if (again_.empty()) {
      ++next_;
    } else {
      again_.pop_front();
    }
    in_flight_.push_back({*number, next.index, next.id});
  }
  return absl::OkStatus();
}

absl::Status AmqpQueueCore::TakeConfirms() {
  absl::Status status;
  while (status.ok() && !in_flight_.empty()) {
    const AmqpConfirm confirm = connection_->Confirm(in_flight_.front().number);
    if (confirm == AmqpConfirm::kWaiting) break;
    if (confirm == AmqpConfirm::kRefused) {
      status =
          absl::ResourceExhaustedError(absl::StrCat(url_.Redacted(), ": the broker has refused the message"));
    } else if (confirm == AmqpConfirm::kReturned) {
      status = absl::NotFoundError(absl::StrCat(url_.Redacted(), ": the queue is not there any more"));
    } else {
      ++stats_.published;
    }
    connection_->Forget(in_flight_.front().number + 1);
    in_flight_.pop_front();
  }
  return status;
}

absl::StatusOr<Job> AmqpQueueCore::Receive(absl::Duration timeout, Interrupt interrupt) {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  const os::Deadline deadline = os::Deadline::After(timeout);
  for (;;) {
    if (interrupt.fired()) return absl::CancelledError("interrupted");
    if (absl::Status connected = EnsureConnected(deadline, interrupt); !connected.ok()) return connected;
    absl::Status status = connection_->Consume();
    if (status.ok() && connection_->deliveries().empty()) {
      const absl::StatusOr<bool> came = connection_->Await(deadline, interrupt);
      status = came.status();
      if (absl::IsCancelled(status)) return status;
      if (status.ok() && !*came) {
        return absl::DeadlineExceededError(absl::StrCat(url_.Redacted(), ": no job has come in time"));
      }
    }
    if (!status.ok()) {
      if (MayReconnect(status)) continue;
      Lost();
      return status;
    }
    if (connection_->deliveries().empty()) continue;  // something else came
    AmqpDelivery delivery = std::move(connection_->deliveries().front());
    connection_->deliveries().pop_front();
    ++stats_.leased;
    if (delivery.attempt > 1) ++stats_.redelivered;
    return Job(shared_from_this(), JobLease{delivery.id, delivery.attempt, {generation_, delivery.tag}},
               std::move(delivery.body));
  }
}

absl::Status AmqpQueueCore::Settle(const JobLease& lease, JobOutcome outcome) {
  if (connection_ != nullptr && !connection_->BelongsToThisProcess()) return CheckUsable();
  const absl::Status lost = absl::NotFoundError(absl::StrCat(
      url_.Redacted(), ": the connection that delivered the job is gone, and the job has gone back"));
  if (connection_ == nullptr || lease.token[0] != generation_) return lost;
  const uint64_t tag = lease.token[1];
  const absl::Status sent = outcome == JobOutcome::kDone
                                ? connection_->Ack(tag)
                                : connection_->Nack(tag, outcome == JobOutcome::kRequeue);
  if (!sent.ok()) return lost;
  if (stats_.leased > 0) --stats_.leased;
  if (outcome == JobOutcome::kDone) ++stats_.acked;
  if (outcome == JobOutcome::kDrop) ++stats_.dropped;
  return absl::OkStatus();
}

absl::Status AmqpQueueCore::Close() {
  if (connection_ != nullptr && !connection_->BelongsToThisProcess()) return CheckUsable();
  closed_ = true;
  connection_.reset();
  stats_.leased = 0;
  return absl::OkStatus();
}

absl::StatusOr<JobQueueStats> AmqpQueueCore::Stats() {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  const os::Deadline deadline = os::Deadline::After(url_.timeout);
  if (absl::Status connected = EnsureConnected(deadline); !connected.ok()) return connected;
  const absl::StatusOr<uint32_t> ready = connection_->CountReady(deadline);
  if (!ready.ok()) return ready.status();
  JobQueueStats stats = stats_;
  stats.ready = *ready;
  return stats;
}

absl::StatusOr<absl::Duration> AmqpQueueCore::Tend() {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  if (url_.heartbeat == absl::ZeroDuration()) return absl::InfiniteDuration();
  // A connection that is lost shows in the next call; the job that is being worked on is not disturbed.
  if (connection_ != nullptr) connection_->Await(os::Deadline::After(absl::ZeroDuration())).IgnoreError();
  return url_.heartbeat / 2;
}

}  // namespace ko
