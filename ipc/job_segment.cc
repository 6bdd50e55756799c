#include "ko/ipc/job_segment.h"

#include "absl/strings/str_cat.h"

namespace ko {
namespace {

constexpr size_t kAlignment = 128;  // a pair of cache lines
// Far from where sums of sizes overflow, and the holder's slot has 30 bits.
constexpr size_t kMaxBlocks = uint32_t{1} << 31;
constexpr int kMaxParticipants = 1 << 20;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

static_assert(sizeof(JobParticipant) == 128);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

}  // namespace

absl::StatusOr<JobGeometry> JobGeometry::Of(size_t capacity_bytes, size_t max_body_bytes, size_t max_jobs,
                                            int max_participants) {
  if (capacity_bytes == 0 || capacity_bytes > kMaxBlocks * kJobBlockBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a capacity of ", capacity_bytes, " bytes"));
  }
  if (max_body_bytes > capacity_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("bodies of ", max_body_bytes, " bytes in a capacity of ", capacity_bytes));
  }
  if (max_jobs > kMaxBlocks) return absl::InvalidArgumentError(absl::StrCat(max_jobs, " jobs"));
  if (max_participants < 1 || max_participants > kMaxParticipants) {
    return absl::InvalidArgumentError(absl::StrCat(max_participants, " participants"));
  }
  JobGeometry geometry;
  geometry.participants = max_participants;
  geometry.blocks = (capacity_bytes + kJobBlockBytes - 1) / kJobBlockBytes;
  geometry.jobs = max_jobs != 0 ? max_jobs : geometry.blocks;
  geometry.max_body_bytes = max_body_bytes != 0 ? max_body_bytes : capacity_bytes;

  size_t offset = Aligned(sizeof(JobHeader));
  const auto place = [&offset](size_t count, size_t bytes) {
    const size_t here = offset;
    offset = Aligned(offset + count * bytes);
    return here;
  };
  geometry.participants_offset = place(geometry.participants, sizeof(JobParticipant));
  geometry.jobs_offset = place(geometry.jobs, sizeof(JobSlot));
  geometry.heap_offset = place(geometry.jobs, sizeof(JobHeapEntry));
  geometry.leases_offset = place(geometry.participants, sizeof(std::atomic<uint32_t>));
  geometry.links_offset = place(geometry.blocks, sizeof(std::atomic<uint32_t>));
  geometry.blocks_offset = place(geometry.blocks, kJobBlockBytes);
  geometry.segment_bytes = offset;
  return geometry;
}

JobSegment::JobSegment(void* data, const JobGeometry& geometry) : geometry(geometry) {
  char* const base = static_cast<char*>(data);
  header = reinterpret_cast<JobHeader*>(base);
  participants = reinterpret_cast<JobParticipant*>(base + geometry.participants_offset);
  jobs = reinterpret_cast<JobSlot*>(base + geometry.jobs_offset);
  heap = reinterpret_cast<JobHeapEntry*>(base + geometry.heap_offset);
  leases = reinterpret_cast<std::atomic<uint32_t>*>(base + geometry.leases_offset);
  links = reinterpret_cast<std::atomic<uint32_t>*>(base + geometry.links_offset);
  blocks = base + geometry.blocks_offset;
}

void JobSegment::Initialize() {
  header->magic = JobHeader::kMagic;
  header->version = JobHeader::kVersion;
  header->participants = geometry.participants;
  header->jobs = geometry.jobs;
  header->blocks = geometry.blocks;
  header->next_id = 1;
  header->next_ticket = 1;
  header->tally_slot = kNoJobIndex;
  header->free_slot = kNoJobIndex;
  header->free_block = kNoJobIndex;
}

absl::Status JobSegment::Check() const {
  if (header->magic.load(std::memory_order_relaxed) != JobHeader::kMagic ||
      header->version.load(std::memory_order_relaxed) != JobHeader::kVersion ||
      header->participants.load(std::memory_order_relaxed) != geometry.participants ||
      header->jobs.load(std::memory_order_relaxed) != geometry.jobs ||
      header->blocks.load(std::memory_order_relaxed) != geometry.blocks) {
    return Damaged("the header");
  }
  if (header->damaged.load(std::memory_order_relaxed) != 0) return Damaged("found before");
  return absl::OkStatus();
}

absl::Status JobSegment::Damaged(const char* what) const {
  header->damaged.store(1, std::memory_order_relaxed);
  return absl::DataLossError(absl::StrCat("the job queue's shared memory has been overwritten: ", what));
}

}  // namespace ko
