#ifndef KO_IPC_JOB_QUEUE_CORE_H_
#define KO_IPC_JOB_QUEUE_CORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/job.h"
#include "ko/ipc/job_participants.h"
#include "ko/ipc/job_queue_stats.h"
#include "ko/ipc/job_segment.h"
#include "ko/ipc/job_table.h"
#include "ko/os/interrupt.h"
#include "ko/os/shared_mapping.h"

namespace ko {

// What a SharedJobQueue and the jobs received from it own together: takes the lock around each operation,
// repairs what the dead have left, sleeps and wakes. See SharedJobQueue for its contract.
class JobQueueCore final : public LeaseOwner, public std::enable_shared_from_this<JobQueueCore> {
 public:
  JobQueueCore(os::SharedMapping mapping, const JobGeometry& geometry);
  ~JobQueueCore() override;

  absl::Status Publish(std::string_view body, absl::Duration timeout);
  absl::StatusOr<Job> Receive(absl::Duration timeout, Interrupt interrupt);
  absl::Status Close();
  absl::StatusOr<JobQueueStats> Stats();
  absl::Status Settle(const JobLease& lease, JobOutcome outcome) override;

  const JobSegment& segment() const { return segment_; }

 private:
  class Session;
  absl::Status EnterLocked(std::optional<uint32_t>& participant);
  absl::Status Repair();
  bool closed() const;
  JobParticipants::Prospects GetProspects() const;

  const std::shared_ptr<const os::SharedMapping> mapping_;  // each participating thread keeps it mapped, too
  const JobSegment segment_;
  JobTable jobs_;
  JobParticipants participants_;
};

}  // namespace ko

#endif  // KO_IPC_JOB_QUEUE_CORE_H_
