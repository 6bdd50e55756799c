#ifndef KO_AMQP_AMQP_QUEUE_CORE_H_
#define KO_AMQP_AMQP_QUEUE_CORE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/amqp/amqp_connection.h"
#include "ko/amqp/amqp_url.h"
#include "ko/ipc/job.h"
#include "ko/ipc/job_queue_stats.h"
#include "ko/os/deadline.h"
#include "ko/os/interrupt.h"

namespace ko {

// What an AmqpJobQueue and the jobs it gave out share: the connection, and the making of a new one.
//
// Threads, fork, signals, crash, errors: those of AmqpJobQueue.
class AmqpQueueCore : public LeaseOwner, public std::enable_shared_from_this<AmqpQueueCore> {
 public:
  explicit AmqpQueueCore(const AmqpUrl& url) : url_(url) {}

  // `body(i)` for i below `count`.
  absl::Status Publish(size_t count, absl::FunctionRef<std::string_view(size_t)> body,
                       absl::Duration timeout);
  absl::StatusOr<Job> Receive(absl::Duration timeout, Interrupt interrupt);
  absl::Status Close();
  absl::StatusOr<JobQueueStats> Stats();
  absl::StatusOr<absl::Duration> Tend();
  absl::Status Connect();
  absl::Status Settle(const JobLease& lease, JobOutcome outcome) override;

 private:
  // FailedPrecondition where it is closed, or another process's.
  absl::Status CheckUsable() const;
  // Makes connection_ a living one, or says why that is not to be had by the deadline.
  absl::Status EnsureConnected(const os::Deadline& deadline, Interrupt interrupt = {});
  void Lost();
  // The URL's timeout more than the caller's.
  os::Deadline AnswerBy(const os::Deadline& deadline) const;

  struct InFlight {
    uint64_t number;  // of the connection
    size_t index;     // of the caller
    uint64_t id;
  };
  absl::Status Fill(size_t count, absl::FunctionRef<std::string_view(size_t)> body,
                    const os::Deadline& deadline);
  absl::Status TakeConfirms();

  const AmqpUrl url_;
  std::unique_ptr<AmqpConnection> connection_;
  std::random_device random_;
  uint64_t next_id_ = 0;     // of a message; starts anywhere with each connection
  uint64_t generation_ = 0;  // of the connection; 0: there has been none
  int failures_ = 0;         // of attempts to connect, one after the other
  bool closed_ = false;
  JobQueueStats stats_;
  // Of the Publish that runs.
  std::deque<InFlight> in_flight_;
  std::deque<InFlight> again_;  // lost with a connection, before the ones that have not been sent
  size_t next_ = 0;
};

}  // namespace ko

#endif  // KO_AMQP_AMQP_QUEUE_CORE_H_
