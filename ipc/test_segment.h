#ifndef KO_IPC_TEST_SEGMENT_H_
#define KO_IPC_TEST_SEGMENT_H_

#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_queue_core.h"
#include "ko/ipc/job_segment.h"

namespace ko {

// Lets a test look into the shared memory of a queue without using the queue, and damage it.
class SharedJobQueueTestPeer {
 public:
  static const JobSegment& Segment(const SharedJobQueue& queue) { return queue.core_->segment(); }
};

}  // namespace ko

#endif  // KO_IPC_TEST_SEGMENT_H_
