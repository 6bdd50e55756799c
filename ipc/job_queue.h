#ifndef KO_IPC_JOB_QUEUE_H_
#define KO_IPC_JOB_QUEUE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/ipc/job.h"
#include "ko/ipc/job_queue_stats.h"
#include "ko/os/interrupt.h"

namespace ko {

class JobQueueCore;

// A queue of jobs, each of which is received by one process at a time until one has acknowledged it: at least
// once. A job whose holder dies goes back to the queue.
//
// Order: Receive gives the oldest job that is ready. A job that comes back keeps its place, so it is usually
// the next one.
class JobQueue {
 public:
  virtual ~JobQueue() = default;

  // Adds a job, and sleeps for `timeout` at most where there is no room. Errors: ResourceExhausted where
  // there was none, InvalidArgument for a body larger than the queue's limit, FailedPrecondition for a closed
  // queue.
  virtual absl::Status Publish(std::string_view body, absl::Duration timeout = absl::ZeroDuration()) = 0;

  // Publishes each, with one `timeout` for all. A queue on another machine is asked for many at a time, so this is much
  // faster there. After an error it is not known which of them have been published.
  virtual absl::Status PublishAll(absl::Span<const std::string> bodies,
                                  absl::Duration timeout = absl::ZeroDuration());

  // Takes the oldest ready job, and sleeps for `timeout` at most where there is none. Signals do not end the
  // sleep, unless `interrupt` says so. Errors: DeadlineExceeded; Cancelled when `interrupt` has fired, also
  // where a job is ready; FailedPrecondition when the queue is closed and nothing is left.
  virtual absl::StatusOr<Job> Receive(absl::Duration timeout = absl::InfiniteDuration(),
                                      Interrupt interrupt = {}) = 0;

  // Ends publishing. Receivers get the rest, with what comes back from holders that die or hand it back; when
  // nothing is ready or leased any more every Receive returns FailedPrecondition, also the ones that are
  // asleep. May be called again.
  virtual absl::Status Close() = 0;

  virtual absl::StatusOr<JobQueueStats> Stats() const = 0;

  // A queue on another machine wants to hear from this process while that works on a job. Does what is due, and gives
  // the time after which the next is: infinite where nothing is ever due.
  virtual absl::StatusOr<absl::Duration> Tend() { return absl::InfiniteDuration(); }
};

// A job queue in anonymous shared memory, for this process and all that are forked from it later.
//
//   absl::StatusOr<std::unique_ptr<ko::SharedJobQueue>> queue = ko::SharedJobQueue::Create();
//   if (!queue.ok()) return queue.status();
//   manager.Spawn([&](ko::Self& self) { Work(**queue, self); });
//   absl::Status published = (*queue)->Publish("resize 4711.jpg");
//
// A process that dies with a job gives it back by dying: the kernel tells a sleeping receiver, which takes
// it at once. Nothing is polled. One sleeper can be told about 126 other participants; where there are more,
// sleepers share them out, and what a dead one had that nobody watched comes back with the next operation of
// anybody.
//
// A participant is a thread that has used the queue: usually the one thread of a process. A lease belongs to
// the thread that received it; another thread of the process may settle it while that one lives. When the
// thread ends, the job goes back. The participants live in one pid namespace.
//
// Threads: any number may call. Jobs may outlive the queue object. The memory stays mapped until the last
// thread that has used the queue ends, or uses another queue for the first time.
//
// Fork: the child is a participant of its own.
//
// Signals: calls go on after a signal (EINTR); not to be called from a signal handler.
//
// Crash: SIGKILL at any instruction leaves each job published or not, leased or back, acknowledged or not;
// bodies are never torn, storage never leaks, no sleeper misses what it waits for. A process that is stopped
// (SIGSTOP) inside an operation stops the others.
//
// Errors: those of JobQueue; also from each call ResourceExhausted when there are more participants than
// `max_participants`, FailedPrecondition in a process made by a raw clone(2) without set_robust_list(2), and
// DataLoss when the shared memory has been overwritten. Ack and Nack: NotFound when the lease has been lost,
// because the thread that received the job has ended.
class SharedJobQueue : public JobQueue {
 public:
  struct Options {
    size_t capacity_bytes = 1 << 20;  // storage for bodies; each takes whole blocks of 128 bytes
    size_t max_body_bytes = 0;        // 0: as large as the capacity
    size_t max_jobs = 0;              // ready and leased, empty ones too; 0: one for each block
    int max_participants = 1024;
  };

  // Errors: InvalidArgument for a capacity or a number of participants below 1 or beyond 32 bits of blocks
  // and for a body larger than the capacity; ResourceExhausted where there is no memory; Unimplemented where
  // the kernel has no futex_waitv(2) (it came with Linux 5.16).
  static absl::StatusOr<std::unique_ptr<SharedJobQueue>> Create(const Options& options);
  static absl::StatusOr<std::unique_ptr<SharedJobQueue>> Create() { return Create(Options()); }

  ~SharedJobQueue() override;

  absl::Status Publish(std::string_view body, absl::Duration timeout = absl::ZeroDuration()) override;
  absl::StatusOr<Job> Receive(absl::Duration timeout = absl::InfiniteDuration(),
                              Interrupt interrupt = {}) override;
  absl::Status Close() override;
  absl::StatusOr<JobQueueStats> Stats() const override;

 private:
  friend class SharedJobQueueTestPeer;
  explicit SharedJobQueue(std::shared_ptr<JobQueueCore> core);

  std::shared_ptr<JobQueueCore> core_;  // the jobs that have been received own it too
};

}  // namespace ko

#endif  // KO_IPC_JOB_QUEUE_H_
