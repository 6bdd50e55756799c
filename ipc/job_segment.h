#ifndef KO_IPC_JOB_SEGMENT_H_
#define KO_IPC_JOB_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/robust_list.h"

namespace ko {

// How a SharedJobQueue lies in its shared memory: header, participants, jobs, heap, lease counts, block
// links, blocks.
//
// The truth about the jobs is the state word of each job slot; each operation takes effect with one store to
// one of them. What is called derived below follows from those words, and is made again after a process died
// inside the lock. All of it is read and written under the lock, unless a comment says otherwise; fields are
// atomics so that a hostile writer cannot change a value between its check and its use.

inline constexpr uint32_t kJobBlockBytes = 128;
inline constexpr uint32_t kNoJobIndex = UINT32_MAX;  // end of a list

// A state word: what it is in bits 0 and 1, the holder's participant slot in bits 2 to 31, the attempt above.
enum class JobState : uint32_t { kFree = 0, kReady = 1, kLeased = 2 };

constexpr uint64_t PackJobState(JobState state, uint32_t holder, uint32_t attempt) {
  return static_cast<uint64_t>(attempt) << 32 | static_cast<uint64_t>(holder) << 2 |
         static_cast<uint64_t>(state);
}
constexpr JobState StateOf(uint64_t word) { return static_cast<JobState>(word & 3); }
constexpr uint32_t HolderOf(uint64_t word) { return static_cast<uint32_t>(word) >> 2; }
constexpr uint32_t AttemptOf(uint64_t word) { return static_cast<uint32_t>(word >> 32); }

struct JobSlot {
  std::atomic<uint64_t> state;
  std::atomic<uint64_t> id;  // the publication's number, from 1
  std::atomic<uint64_t> body_bytes;
  std::atomic<uint32_t> first_block;  // of the body's chain, kNoJobIndex for an empty body
  std::atomic<uint32_t> last_block;
  std::atomic<uint32_t> next_free;  // derived
  uint32_t unused;
};

// Derived: the ready jobs, the oldest first, as a binary heap.
struct JobHeapEntry {
  uint64_t id;
  uint64_t slot;
};

enum class JobSleep : uint32_t { kAwake = 0, kReceiver = 1, kPublisher = 2 };

struct JobParticipant {
  os::RobustFutex life;             // held by the participating thread; read and marked without the lock
  std::atomic<uint32_t> wake_word;  // counts its wake-ups; slept on without the lock
  std::atomic<uint32_t> sleep;      // a JobSleep
  std::atomic<uint32_t> woken;      // 1 when somebody has undertaken to wake it
  uint32_t unused;
  std::atomic<uint64_t> needed_bytes;  // of a sleeping publisher
  std::atomic<uint64_t> ticket;        // the order in which sleepers came
};

struct JobHeader {
  static constexpr uint64_t kMagic = 0x6a6f62732d6b6f31;
  static constexpr uint32_t kVersion = 1;

  std::atomic<uint64_t> magic;
  std::atomic<uint32_t> version;
  std::atomic<uint32_t> participants;
  std::atomic<uint32_t> jobs;
  std::atomic<uint32_t> blocks;

  os::RobustFutex lock;

  // Beside the jobs, the truth about the queue.
  std::atomic<uint64_t> next_id;
  std::atomic<uint64_t> dropped;
  std::atomic<uint64_t> redelivered;
  std::atomic<uint32_t> closed;
  std::atomic<uint32_t> damaged;  // a check has failed
  std::atomic<uint32_t>
      unfinished;  // somebody died inside the lock, and the derived fields have to be made again

  // The two counts above that job slots do not tell, as they are to be when `tally_slot` has got the state
  // `tally_state`.
  std::atomic<uint32_t> tally_slot;
  std::atomic<uint64_t> tally_state;
  std::atomic<uint64_t> tally_dropped;
  std::atomic<uint64_t> tally_redelivered;

  std::atomic<uint32_t> used_slots;   // slots from here on have never been used
  std::atomic<uint32_t> used_blocks;  // blocks likewise

  // Derived.
  std::atomic<uint32_t> ready;
  std::atomic<uint32_t> leased;
  std::atomic<uint32_t> free_slot;  // a list of the free ones below used_slots
  std::atomic<uint32_t> free_block;
  std::atomic<uint32_t> listed_blocks;     // how many that list has
  std::atomic<uint32_t> participants_end;  // no participant stands in this slot or a later one
  std::atomic<uint32_t> unwoken_sleepers;  // that are asleep, with nobody about to wake them
  std::atomic<uint64_t> next_ticket;
};

// Sizes of a segment. Each process keeps its own copy, so none has to be believed from shared memory.
struct JobGeometry {
  // Errors: InvalidArgument for sizes of 0 or beyond 32 bits, and a body limit beyond the capacity.
  static absl::StatusOr<JobGeometry> Of(size_t capacity_bytes, size_t max_body_bytes, size_t max_jobs,
                                        int max_participants);

  uint32_t participants = 0;
  uint32_t jobs = 0;
  uint32_t blocks = 0;
  size_t max_body_bytes = 0;

  size_t participants_offset = 0;
  size_t jobs_offset = 0;
  size_t heap_offset = 0;
  size_t leases_offset = 0;
  size_t links_offset = 0;
  size_t blocks_offset = 0;
  size_t segment_bytes = 0;
};

// Where the parts of a segment stand in this process.
struct JobSegment {
  JobSegment(void* data, const JobGeometry& geometry);

  // For memory that is all zeros.
  void Initialize();
  // DataLoss where the header is not the one that Initialize wrote, or a check has failed before.
  absl::Status Check() const;
  // A check has failed: from now on Check fails. Returns the DataLoss.
  absl::Status Damaged(const char* what) const;

  JobGeometry geometry;
  JobHeader* header;
  JobParticipant* participants;
  JobSlot* jobs;
  JobHeapEntry* heap;
  std::atomic<uint32_t>* leases;  // derived: how many each participant holds
  std::atomic<uint32_t>* links;   // the next block of a chain or of the list of free ones
  char* blocks;
};

}  // namespace ko

#endif  // KO_IPC_JOB_SEGMENT_H_
