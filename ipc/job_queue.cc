#include "ko/ipc/job_queue.h"

#include <utility>

#include "ko/ipc/job_queue_core.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"

namespace ko {

absl::Status JobQueue::PublishAll(absl::Span<const std::string> bodies, absl::Duration timeout) {
  const os::Deadline deadline = os::Deadline::After(timeout);
  for (const std::string& body : bodies) {
    if (absl::Status published = Publish(body, deadline.remaining()); !published.ok()) return published;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SharedJobQueue>> SharedJobQueue::Create(const Options& options) {
  if (absl::Status status = os::CheckFutexWaitv(); !status.ok()) return status;
  absl::StatusOr<JobGeometry> geometry = JobGeometry::Of(options.capacity_bytes, options.max_body_bytes,
                                                         options.max_jobs, options.max_participants);
  if (!geometry.ok()) return geometry.status();
  absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(geometry->segment_bytes);
  if (!mapping.ok()) return mapping.status();
  JobSegment(mapping->data(), *geometry).Initialize();
  return std::unique_ptr<SharedJobQueue>(
      new SharedJobQueue(std::make_shared<JobQueueCore>(*std::move(mapping), *geometry)));
}

SharedJobQueue::SharedJobQueue(std::shared_ptr<JobQueueCore> core) : core_(std::move(core)) {}

SharedJobQueue::~SharedJobQueue() = default;

absl::Status SharedJobQueue::Publish(std::string_view body, absl::Duration timeout) {
  return core_->Publish(body, timeout);
}

absl::StatusOr<Job> SharedJobQueue::Receive(absl::Duration timeout, Interrupt interrupt) {
  return core_->Receive(timeout, interrupt);
}

absl::Status SharedJobQueue::Close() { return core_->Close(); }

absl::StatusOr<JobQueueStats> SharedJobQueue::Stats() const { return core_->Stats(); }

}  // namespace ko
