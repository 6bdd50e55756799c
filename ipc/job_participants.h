#ifndef KO_IPC_JOB_PARTICIPANTS_H_
#define KO_IPC_JOB_PARTICIPANTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ko/ipc/job_segment.h"
#include "ko/os/futex.h"

namespace ko {

// Who uses the queue, who of them sleeps, and who is to be woken.
//
// No death may cost a sleeper its wake-up, wherever it strikes. Therefore
// - whoever does anything has a slot with a robust futex, which the kernel marks when the thread ends;
// - each sleeper sleeps on the futexes of all others too (as many as fit) and is woken when one of them ends;
// - a newcomer wakes all sleepers before it does anything, so that they go to sleep again with its futex in
// their lists;
// - whoever has the lock wakes one sleeper that can go on, judging by the state alone and not by what it has
// done itself.
//   A sleeper that goes on does the same, so that each wake-up leads to the next one as long as there is
//   something to do;
// - whoever finds a dead one forgets who was about to be woken, since the dead one may have been meant, or
// may have been
//   going to wake somebody.
//
// Threads: under the queue's lock, but for Find.
// Fork: a child is a participant of its own.
// Signals: none.
// Crash: as above; Rebuild makes what is derived.
// Errors: see Join.
class JobParticipants {
 public:
  explicit JobParticipants(const JobSegment& segment) : segment_(segment), header_(*segment.header) {}

  // The slot of the calling thread. DataLoss where its futex has been overwritten.
  absl::StatusOr<std::optional<uint32_t>> Find() const;
  // Takes a slot for it, and wakes all sleepers. Errors: ResourceExhausted where all are taken; those of
  // HoldRobustFutex.
  absl::StatusOr<uint32_t> Join(std::shared_ptr<const void> memory);

  // Calls `returned` for each participant that has ended, and frees its slot.
  absl::Status SweepDead(absl::FunctionRef<absl::Status(uint32_t participant)> returned);

  // Notes that `self` is going to sleep for the sake of what `sleep` says, in the order of `ticket`; and
  // collects what it is to sleep on. False where somebody has ended meanwhile: sweep and look again.
  bool StartSleep(uint32_t self, JobSleep sleep, uint64_t ticket, size_t needed_bytes,
                  os::FutexWaitList& waits);
  void EndSleep(uint32_t self);
  uint64_t NewTicket();

  bool HasUnwokenSleepers() const { return header_.unwoken_sleepers.load(std::memory_order_relaxed) != 0; }
  // What sleepers can expect at this moment.
  struct Prospects {
    uint32_t jobs;        // receivers that would find one
    bool all_receivers;   // each would learn that it has nothing to wait for
    bool publishers;      // there is a slot for one more job
    bool all_publishers;  // each would learn that it has nothing to wait for
    size_t free_bytes;
  };
  // The sleepers to wake, the first to have come that can go on: a receiver and a publisher at most. The
  // caller wakes them by FutexWake when it has released the lock.
  struct WakeUps {
    const std::atomic<uint32_t>* receiver = nullptr;
    const std::atomic<uint32_t>* publisher = nullptr;
  };
  WakeUps NextWakeUps(const Prospects& prospects);

  size_t Count(JobSleep sleep) const;
  void Rebuild();

 private:
  uint32_t end() const;
  void TrimEnd();
  JobParticipant& at(uint32_t slot) const { return segment_.participants[slot]; }

  const JobSegment& segment_;
  JobHeader& header_;
};

}  // namespace ko

#endif  // KO_IPC_JOB_PARTICIPANTS_H_
