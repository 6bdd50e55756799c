#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/fuzz_damage.h"
#include "ko/ipc/job_queue.h"
#include "ko/ipc/job_segment.h"
#include "ko/ipc/test_segment.h"
#include "ko/os/robust_list.h"

// Each call there is, on a queue that somebody has overwritten in the midst of its use: jobs or statuses.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::StatusOr<std::unique_ptr<ko::SharedJobQueue>> created =
      ko::SharedJobQueue::Create({.capacity_bytes = 4096, .max_participants = 4});
  if (!created.ok()) std::abort();
  ko::SharedJobQueue& queue = **created;
  for (size_t bytes : {10, 400, 0}) queue.Publish(std::string(bytes, 'x')).IgnoreError();
  std::vector<ko::Job> held;
  if (absl::StatusOr<ko::Job> job = queue.Receive(absl::ZeroDuration()); job.ok())
    held.push_back(*std::move(job));
  const ko::JobSegment& segment = ko::SharedJobQueueTestPeer::Segment(queue);
  ko::Damage(segment.header, segment.geometry.blocks_offset,
             {{offsetof(ko::JobHeader, lock), sizeof(ko::os::RobustFutex)}}, data, size);
  // As after a death, when everything is repaired.
  if (size % 2 == 1) segment.header->unfinished = 1;
  for (int i = 0; i < 8; ++i) {
    queue.Publish(std::string(size % 500, 'y'), absl::ZeroDuration()).IgnoreError();
    if (absl::StatusOr<ko::Job> job = queue.Receive(absl::ZeroDuration()); job.ok())
      held.push_back(*std::move(job));
    queue.Stats().status().IgnoreError();
  }
  for (size_t i = 0; i < held.size(); ++i) {
    (i % 2 == 0 ? held[i].Ack() : held[i].Nack(i % 4 == 1)).IgnoreError();
  }
  queue.Close().IgnoreError();
  return 0;
}
