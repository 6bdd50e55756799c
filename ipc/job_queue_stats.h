#ifndef KO_IPC_JOB_QUEUE_STATS_H_
#define KO_IPC_JOB_QUEUE_STATS_H_

#include <cstddef>
#include <cstdint>

namespace ko {

// At one moment. published == ready + leased + acked + dropped.
struct JobQueueStats {
  size_t ready = 0;        // wait to be received
  size_t leased = 0;       // received, not yet acknowledged
  uint64_t published = 0;  // since the queue was made, as the following three
  uint64_t acked = 0;
  uint64_t dropped = 0;      // by Nack(false)
  uint64_t redelivered = 0;  // deliveries that were not a job's first
  size_t used_bytes = 0;     // of the storage for bodies
  size_t capacity_bytes = 0;
  size_t sleeping_receivers = 0;   // inside a Receive that found nothing
  size_t sleeping_publishers = 0;  // inside a Publish that found no room
};

}  // namespace ko

#endif  // KO_IPC_JOB_QUEUE_STATS_H_
