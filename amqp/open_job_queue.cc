#include "ko/amqp/open_job_queue.h"

#include "absl/strings/match.h"
#include "ko/amqp/amqp_job_queue.h"

namespace ko {

absl::StatusOr<std::unique_ptr<JobQueue>> OpenJobQueue(std::string_view url,
                                                       const SharedJobQueue::Options& shared) {
  if (url == "shm:") return SharedJobQueue::Create(shared);
  if (absl::StartsWith(url, "amqp://") || absl::StartsWith(url, "amqps://")) return AmqpJobQueue::Create(url);
  // Not shown: what is mistyped may hold a password all the same.
  return absl::InvalidArgumentError(
      "job queue URL: there are shm:, amqp://HOST?queue=NAME and amqps://HOST?queue=NAME");
}

}  // namespace ko
