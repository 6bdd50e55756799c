#ifndef KO_AMQP_OPEN_JOB_QUEUE_H_
#define KO_AMQP_OPEN_JOB_QUEUE_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "ko/ipc/job_queue.h"

namespace ko {

// The queue that a URL names: "shm:" is a SharedJobQueue with `shared` as its options, which this process and those
// that are forked from it later use; "amqp://..." and "amqps://..." are an AmqpJobQueue.
//
// Threads, fork, signals, crash: those of the two.
//
// Errors: InvalidArgument for any other URL, and what the two list. No error holds a URL's password.
absl::StatusOr<std::unique_ptr<JobQueue>> OpenJobQueue(std::string_view url,
                                                       const SharedJobQueue::Options& shared = {});

}  // namespace ko

#endif  // KO_AMQP_OPEN_JOB_QUEUE_H_
