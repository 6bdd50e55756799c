#ifndef KO_IPC_JOB_TABLE_H_
#define KO_IPC_JOB_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/ipc/job.h"
#include "ko/ipc/job_segment.h"

namespace ko {

// The jobs of a segment, their order and their storage. Bodies are chains of blocks of one size, so storage
// never fragments.
//
// Threads: under the queue's lock.
// Fork: none.
// Signals: none.
// Crash: each operation takes effect with one store; Rebuild makes the rest follow.
// Errors: DataLoss from each where an index or a size does not fit.
class JobTable {
 public:
  explicit JobTable(const JobSegment& segment) : segment_(segment), header_(*segment.header) {}

  struct Delivery {
    uint32_t slot;
    uint64_t id;
    uint32_t attempt;
    std::string body;
  };

  bool Fits(size_t body_bytes) const;
  bool HasReady() const { return header_.ready.load(std::memory_order_relaxed) != 0; }
  bool HasAny() const { return HasReady() || header_.leased.load(std::memory_order_relaxed) != 0; }
  size_t free_bytes() const;

  // Where it Fits.
  absl::Status Publish(std::string_view body);
  // Leases the oldest ready job to a participant. Where it HasReady.
  absl::StatusOr<Delivery> Take(uint32_t holder);
  // NotFound where this delivery is not under way any more.
  absl::Status Settle(uint32_t slot, uint64_t id, uint32_t attempt, uint32_t holder, JobOutcome outcome);
  // Makes all jobs ready that the participant holds.
  absl::Status ReturnAll(uint32_t holder);

  // Makes the derived fields from the state words, after a death inside the lock. Takes a time that grows
  // with the number of slots and blocks ever used at the same time.
  absl::Status Rebuild();

 private:
  void Commit(JobSlot& job, uint64_t state);
  void CommitCounted(uint32_t slot, uint64_t state, uint64_t dropped, uint64_t redelivered);
  void FinishTally();
  absl::Status ListBlocks(uint32_t count);
  absl::Status TakeSlot(uint32_t* slot);
  absl::Status ReadBody(const JobSlot& job, std::string* body) const;
  absl::Status FreeSlot(uint32_t slot);
  absl::Status PushReady(uint32_t slot);
  absl::Status DropLease(uint32_t holder);

  const JobSegment& segment_;
  JobHeader& header_;
};

}  // namespace ko

#endif  // KO_IPC_JOB_TABLE_H_
