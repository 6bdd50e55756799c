#ifndef KO_IPC_JOB_H_
#define KO_IPC_JOB_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ko {

// Names one delivery of one job to the queue that made it.
struct JobLease {
  uint64_t id = 0;
  int attempt = 0;
  std::array<uint64_t, 2> token{};  // the queue's own affair
};

enum class JobOutcome {
  kDone,     // gone for ever
  kRequeue,  // to be delivered again
  kDrop,     // gone for ever, without having been done
};

// The side of a queue that its jobs talk to: what a new kind of queue implements to make Jobs.
class LeaseOwner {
 public:
  virtual ~LeaseOwner() = default;
  // Ends the delivery. Called at most once for each lease in the process that received it; processes forked
  // from that one may call it with their copies and are to be refused (FailedPrecondition) without an effect.
  virtual absl::Status Settle(const JobLease& lease, JobOutcome outcome) = 0;
};

// A lease on one job of a JobQueue: this process has it, and nobody else until the lease ends.
//
//   absl::StatusOr<ko::Job> job = queue->Receive();
//   if (!job.ok()) return job.status();
//   if (Process(job->body()).ok()) {
//     return job->Ack();
//   } else {
//     return job->Nack();
//   }
//
// A job that is destroyed without either goes back to the queue, as if its holder had died.
// The body is a copy of the job's own: it stays readable after Ack and Nack.
//
// Threads: one at a time.
// Fork: a copy in a forked child can be read; its Ack and Nack are FailedPrecondition, and nothing happens
// when it is destroyed.
// Signals: none.
// Crash: the job goes back to the queue.
// Errors: FailedPrecondition for a second Ack or Nack, a moved-from job and a forked copy; else what the
// queue lists.
class Job {
 public:
  Job(std::shared_ptr<LeaseOwner> owner, JobLease lease, std::string body)
      : owner_(std::move(owner)), lease_(lease), body_(std::move(body)) {}
  Job(Job&& other) noexcept = default;  // a moved-from one has no owner
  Job& operator=(Job&& other) noexcept;
  ~Job();

  std::string_view body() const { return body_; }
  int attempt() const { return lease_.attempt; }  // 1 for the first delivery
  uint64_t id() const { return lease_.id; }       // of the job: the same for each of its deliveries

  // Done: the job is gone for ever.
  absl::Status Ack();
  // Back to the queue, where the next delivery counts one attempt more; or dropped for ever.
  absl::Status Nack(bool requeue = true);

 private:
  absl::Status Settle(JobOutcome outcome);
  void Abandon();

  std::shared_ptr<LeaseOwner> owner_;  // none once it is settled
  JobLease lease_;
  std::string body_;
};

}  // namespace ko

#endif  // KO_IPC_JOB_H_
