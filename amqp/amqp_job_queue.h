#ifndef KO_AMQP_AMQP_JOB_QUEUE_H_
#define KO_AMQP_AMQP_JOB_QUEUE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/amqp/amqp_url.h"
#include "ko/ipc/job.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_queue_stats.h"
#include "ko/os/interrupt.h"

namespace ko {

class AmqpQueueCore;

// The JobQueue interface on a queue of a RabbitMQ broker (AMQP 0-9-1), so that workers can be on many machines:
//
//   absl::StatusOr<std::unique_ptr<ko::AmqpJobQueue>> queue = ko::AmqpJobQueue::Create("amqp://host/?queue=hello");
//   if (!queue.ok()) return queue.status();
//   absl::Status published = (*queue)->Publish("resize 4711.jpg");   // the broker has it on disk
//
// The connection is made by the first call that needs it, in the process that makes that call. Publish returns when the
// broker has confirmed the message; one that was lost with the connection is published again, so a job may come twice,
// and none is lost. A connection that is lost is made again, with a growing delay, by the call that needs it, until
// that call's deadline; a first connection that fails is an error at once. What this process held goes back to the
// queue with the connection.
//
// `timeout` of Publish and Receive: how long to wait for a broker that is away, for room and for a job; the network's
// own answers may take the URL's `timeout` longer. Close is about this object: it gives back what was received and
// ends the connection; other processes go on. Stats tells `ready` of the broker, and the rest of this process.
//
// A job's attempt is exact for a quorum queue (type=quorum); a classic queue knows only whether a job has been
// delivered before, and then says 2. The id is 0 for messages of publishers that give them no number.
//
// While a process works for longer than half the heartbeat without a call to the queue, it calls Tend in between: a
// broker that hears nothing takes its jobs back.
//
// Threads: one at a time; threads that want more have a queue each. Jobs may outlive the queue object.
//
// Fork: a connection belongs to the process that made it. In a child each call is FailedPrecondition, where the parent
// had connected before the fork, and the destructor only closes the child's descriptor; a queue that has not been used
// yet is each child's own. A child that lives on after its parent without an exec holds the descriptor, and the broker
// then learns by the heartbeat only that the parent has died.
//
// Signals: calls go on (EINTR), unless `interrupt` says otherwise; it has to be fired by a signal handler of this
// thread, as a SignalDispatcher's is.
//
// Crash: what was received and not acknowledged goes back to the queue; what was confirmed stays published.
//
// Errors: those of JobQueue, and of the connection, each with the address or name in its message and never the
// password: NotFound for the host's name, Unavailable where no broker listens or the connection was lost until the
// deadline, Unauthenticated for user, password or certificate, PermissionDenied for the vhost or queue, AlreadyExists
// for a queue with other properties, ResourceExhausted when the broker refuses messages, InvalidArgument for one that
// is too large for it, DeadlineExceeded. Ack and Nack: NotFound when the connection that delivered the job is gone,
// because the job has gone back.
class AmqpJobQueue : public JobQueue {
 public:
  // Connects to nothing yet. Errors: InvalidArgument, see AmqpUrl.
  static absl::StatusOr<std::unique_ptr<AmqpJobQueue>> Create(std::string_view url);
  ~AmqpJobQueue() override;

  absl::Status Publish(std::string_view body, absl::Duration timeout = absl::ZeroDuration()) override;
  absl::Status PublishAll(absl::Span<const std::string> bodies,
                          absl::Duration timeout = absl::ZeroDuration()) override;
  absl::StatusOr<Job> Receive(absl::Duration timeout = absl::InfiniteDuration(),
                              Interrupt interrupt = {}) override;
  absl::Status Close() override;
  absl::StatusOr<JobQueueStats> Stats() const override;
  absl::StatusOr<absl::Duration> Tend() override;

  // Makes the connection now, and says what is wrong with it. Several calls make one.
  absl::Status Connect();

 private:
  explicit AmqpJobQueue(const AmqpUrl& url);

  std::shared_ptr<AmqpQueueCore> core_;  // the jobs that have been received own it too
};

}  // namespace ko

#endif  // KO_AMQP_AMQP_JOB_QUEUE_H_
