#include "ko/ipc/job_table.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <vector>

#include "ko/ipc/job_segment.h"

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;  // under the lock, which orders them

uint32_t BlocksFor(uint64_t bytes) {
  return static_cast<uint32_t>((bytes + kJobBlockBytes - 1) / kJobBlockBytes);
}

bool Younger(const JobHeapEntry& a, const JobHeapEntry& b) { return a.id > b.id; }

void Increment(std::atomic<uint32_t>& count) { count.store(count.load(kRelaxed) + 1, kRelaxed); }

// A killed process leaves its stores up to an instruction. This keeps the compiler from moving those before
// it past those after it.
void KeepStoreOrder() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace

// The moment an operation takes effect: what the slot says is in memory before it, and whatever follows from
// it after.
void JobTable::Commit(JobSlot& job, uint64_t state) {
  KeepStoreOrder();
  job.state.store(state, kRelaxed);
  KeepStoreOrder();
}

// The same for the operations that a total counts which no slot tells of.
void JobTable::CommitCounted(uint32_t slot, uint64_t state, uint64_t dropped, uint64_t redelivered) {
  header_.tally_state.store(state, kRelaxed);
  header_.tally_dropped.store(dropped, kRelaxed);
  header_.tally_redelivered.store(redelivered, kRelaxed);
  KeepStoreOrder();
  header_.tally_slot.store(slot, kRelaxed);
  Commit(segment_.jobs[slot], state);
  FinishTally();
}

void JobTable::FinishTally() {
  header_.dropped.store(header_.tally_dropped.load(kRelaxed), kRelaxed);
  header_.redelivered.store(header_.tally_redelivered.load(kRelaxed), kRelaxed);
  KeepStoreOrder();
  header_.tally_slot.store(kNoJobIndex, kRelaxed);
}

size_t JobTable::free_bytes() const {
  const uint64_t fresh = segment_.geometry.blocks - uint64_t{header_.used_blocks.load(kRelaxed)};
  return (fresh + header_.listed_blocks.load(kRelaxed)) * kJobBlockBytes;
}

bool JobTable::Fits(size_t body_bytes) const {
  const uint64_t live = uint64_t{header_.ready.load(kRelaxed)} + header_.leased.load(kRelaxed);
  return live < segment_.geometry.jobs && body_bytes <= free_bytes();
}

// Brings the list of free blocks to `count` at least, with blocks never used before.
absl::Status JobTable::ListBlocks(uint32_t count) {
  while (header_.listed_blocks.load(kRelaxed) < count) {
    const uint32_t block = header_.used_blocks.load(kRelaxed);
    if (block >= segment_.geometry.blocks) return segment_.Damaged("a count of blocks");
    header_.used_blocks.store(block + 1, kRelaxed);
    segment_.links[block].store(header_.free_block.load(kRelaxed), kRelaxed);
    header_.free_block.store(block, kRelaxed);
    Increment(header_.listed_blocks);
  }
  return absl::OkStatus();
}

// A free slot; it stays in its list until the job has been committed.
absl::Status JobTable::TakeSlot(uint32_t* slot) {
  *slot = header_.free_slot.load(kRelaxed);
  if (*slot == kNoJobIndex) {
    *slot = header_.used_slots.load(kRelaxed);
    if (*slot >= segment_.geometry.jobs) return segment_.Damaged("a count of slots");
    segment_.jobs[*slot].next_free.store(kNoJobIndex, kRelaxed);
    header_.used_slots.store(*slot + 1, kRelaxed);
  }
  if (*slot >= segment_.geometry.jobs) return segment_.Damaged("the list of free slots");
  if (StateOf(segment_.jobs[*slot].state.load(kRelaxed)) != JobState::kFree)
    return segment_.Damaged("a free slot");
  return absl::OkStatus();
}

absl::Status JobTable::Publish(std::string_view body) {
  const uint32_t blocks = BlocksFor(body.size());
  if (absl::Status status = ListBlocks(blocks); !status.ok()) return status;
  uint32_t slot;
  if (absl::Status status = TakeSlot(&slot); !status.ok()) return status;

  // The head of the list of free blocks becomes the body's chain; until the commit it is still part of the
  // list.
  uint32_t next = header_.free_block.load(kRelaxed);
  const uint32_t first = blocks != 0 ? next : kNoJobIndex;
  uint32_t last = kNoJobIndex;
  for (uint32_t i = 0; i < blocks; ++i) {
    if (next >= segment_.geometry.blocks) return segment_.Damaged("the list of free blocks");
    const std::string_view piece = body.substr(size_t{i} * kJobBlockBytes, kJobBlockBytes);
    std::memcpy(segment_.blocks + size_t{next} * kJobBlockBytes, piece.data(), piece.size());
    last = next;
    next = segment_.links[next].load(kRelaxed);
  }
  JobSlot& job = segment_.jobs[slot];
  const uint64_t id = header_.next_id.load(kRelaxed);
  job.id.store(id, kRelaxed);
  job.body_bytes.store(body.size(), kRelaxed);
  job.first_block.store(first, kRelaxed);
  job.last_block.store(last, kRelaxed);
  Commit(job, PackJobState(JobState::kReady, 0, 0));

  header_.next_id.store(id + 1, kRelaxed);
  header_.free_slot.store(job.next_free.load(kRelaxed), kRelaxed);
  header_.free_block.store(next, kRelaxed);
  header_.listed_blocks.store(header_.listed_blocks.load(kRelaxed) - blocks, kRelaxed);
  return PushReady(slot);
}

absl::StatusOr<JobTable::Delivery> JobTable::Take(uint32_t holder) {
  const uint32_t ready = header_.ready.load(kRelaxed);
  if (ready == 0 || ready > segment_.geometry.jobs) return segment_.Damaged("the number of ready jobs");
  const JobHeapEntry oldest = segment_.heap[0];
  if (oldest.slot >= segment_.geometry.jobs) return segment_.Damaged("the order of ready jobs");
  JobSlot& job = segment_.jobs[oldest.slot];
  const uint64_t state = job.state.load(kRelaxed);
  if (StateOf(state) != JobState::kReady || AttemptOf(state) > INT_MAX ||
      job.id.load(kRelaxed) != oldest.id) {
    return segment_.Damaged("a ready job");
  }
  // An attempt that cannot be counted any more stays the same.
  const uint32_t attempt = std::min<uint32_t>(AttemptOf(state) + 1, INT_MAX);
  Delivery delivery{
      .slot = static_cast<uint32_t>(oldest.slot), .id = oldest.id, .attempt = attempt, .body = {}};
  if (absl::Status status = ReadBody(job, &delivery.body); !status.ok()) return status;

  const uint64_t leased = PackJobState(JobState::kLeased, holder, attempt);
  if (attempt == 1) {
    Commit(job, leased);
  } else {
    CommitCounted(delivery.slot, leased, header_.dropped.load(kRelaxed),
                  header_.redelivered.load(kRelaxed) + 1);
  }
  std::pop_heap(segment_.heap, segment_.heap + ready, Younger);
  header_.ready.store(ready - 1, kRelaxed);
  Increment(header_.leased);
  Increment(segment_.leases[holder]);
  return delivery;
}

absl::Status JobTable::ReadBody(const JobSlot& job, std::string* body) const {
  size_t left = job.body_bytes.load(kRelaxed);
  if (left > segment_.geometry.max_body_bytes) return segment_.Damaged("the size of a body");
  body->reserve(left);
  for (uint32_t block = job.first_block.load(kRelaxed); left != 0;
       block = segment_.links[block].load(kRelaxed)) {
    if (block >= segment_.geometry.blocks) return segment_.Damaged("the blocks of a body");
    const size_t piece = std::min<size_t>(left, kJobBlockBytes);
    body->append(segment_.blocks + size_t{block} * kJobBlockBytes, piece);
    left -= piece;
  }
  return absl::OkStatus();
}

absl::Status JobTable::Settle(uint32_t slot, uint64_t id, uint32_t attempt, uint32_t holder,
                              JobOutcome outcome) {
  if (slot >= segment_.geometry.jobs) return absl::InvalidArgumentError("a lease of another queue");
  JobSlot& job = segment_.jobs[slot];
  if (job.state.load(kRelaxed) != PackJobState(JobState::kLeased, holder, attempt) ||
      job.id.load(kRelaxed) != id) {
    return absl::NotFoundError("the lease has been lost: the thread that received the job has ended");
  }
  if (outcome == JobOutcome::kRequeue) {
    Commit(job, PackJobState(JobState::kReady, 0, attempt));
    if (absl::Status status = DropLease(holder); !status.ok()) return status;
    return PushReady(slot);
  }
  const uint64_t free = PackJobState(JobState::kFree, 0, 0);
  if (outcome == JobOutcome::kDone) {
    Commit(job, free);
  } else {
    CommitCounted(slot, free, header_.dropped.load(kRelaxed) + 1, header_.redelivered.load(kRelaxed));
  }
  if (absl::Status status = DropLease(holder); !status.ok()) return status;
  return FreeSlot(slot);
}

absl::Status JobTable::DropLease(uint32_t holder) {
  const uint32_t leased = header_.leased.load(kRelaxed);
  const uint32_t leases = segment_.leases[holder].load(kRelaxed);
  if (leased == 0 || leases == 0) return segment_.Damaged("the number of leased jobs");
  header_.leased.store(leased - 1, kRelaxed);
  segment_.leases[holder].store(leases - 1, kRelaxed);
  return absl::OkStatus();
}

absl::Status JobTable::FreeSlot(uint32_t slot) {
  JobSlot& job = segment_.jobs[slot];
  const uint64_t bytes = job.body_bytes.load(kRelaxed);
  if (bytes > segment_.geometry.max_body_bytes) return segment_.Damaged("the size of a body");
  if (bytes != 0) {
    const uint32_t first = job.first_block.load(kRelaxed);
    const uint32_t last = job.last_block.load(kRelaxed);
    if (first >= segment_.geometry.blocks || last >= segment_.geometry.blocks) {
      return segment_.Damaged("the blocks of a body");
    }
    segment_.links[last].store(header_.free_block.load(kRelaxed), kRelaxed);
    header_.free_block.store(first, kRelaxed);
    header_.listed_blocks.store(header_.listed_blocks.load(kRelaxed) + BlocksFor(bytes), kRelaxed);
  }
  job.next_free.store(header_.free_slot.load(kRelaxed), kRelaxed);
  header_.free_slot.store(slot, kRelaxed);
  return absl::OkStatus();
}

absl::Status JobTable::PushReady(uint32_t slot) {
  const uint32_t ready = header_.ready.load(kRelaxed);
  if (ready >= segment_.geometry.jobs) return segment_.Damaged("the number of ready jobs");
  segment_.heap[ready] = {.id = segment_.jobs[slot].id.load(kRelaxed), .slot = slot};
  std::push_heap(segment_.heap, segment_.heap + ready + 1, Younger);
  header_.ready.store(ready + 1, kRelaxed);
  return absl::OkStatus();
}

absl::Status JobTable::ReturnAll(uint32_t holder) {
  if (segment_.leases[holder].load(kRelaxed) == 0) return absl::OkStatus();
  const uint32_t end = std::min(header_.used_slots.load(kRelaxed), segment_.geometry.jobs);
  for (uint32_t slot = 0; slot < end; ++slot) {
    JobSlot& job = segment_.jobs[slot];
    const uint64_t state = job.state.load(kRelaxed);
    if (StateOf(state) != JobState::kLeased || HolderOf(state) != holder) continue;
    Commit(job, PackJobState(JobState::kReady, 0, AttemptOf(state)));
    if (absl::Status status = DropLease(holder); !status.ok()) return status;
    if (absl::Status status = PushReady(slot); !status.ok()) return status;
  }
  if (segment_.leases[holder].load(kRelaxed) != 0) return segment_.Damaged("the number of leased jobs");
  return absl::OkStatus();
}

absl::Status JobTable::Rebuild() {
  const uint32_t slots = header_.used_slots.load(kRelaxed);
  const uint32_t blocks = header_.used_blocks.load(kRelaxed);
  if (slots > segment_.geometry.jobs || blocks > segment_.geometry.blocks) return segment_.Damaged("a count");

  const uint32_t counted = header_.tally_slot.load(kRelaxed);
  if (counted < slots && segment_.jobs[counted].state.load(kRelaxed) == header_.tally_state.load(kRelaxed)) {
    FinishTally();
  }
  header_.tally_slot.store(kNoJobIndex, kRelaxed);

  header_.ready.store(0, kRelaxed);
  header_.leased.store(0, kRelaxed);
  header_.free_slot.store(kNoJobIndex, kRelaxed);
  for (uint32_t i = 0; i < segment_.geometry.participants; ++i) segment_.leases[i].store(0, kRelaxed);

  std::vector<bool> in_use(blocks);
  for (uint32_t slot = slots; slot-- > 0;) {
    JobSlot& job = segment_.jobs[slot];
    const uint64_t state = job.state.load(kRelaxed);
    if (StateOf(state) == JobState::kFree) {
      job.next_free.store(header_.free_slot.load(kRelaxed), kRelaxed);
      header_.free_slot.store(slot, kRelaxed);
      continue;
    }
    const uint64_t bytes = job.body_bytes.load(kRelaxed);
    if (bytes > segment_.geometry.max_body_bytes) return segment_.Damaged("the size of a body");
    uint32_t block = job.first_block.load(kRelaxed);
    uint32_t last = kNoJobIndex;
    for (uint32_t left = BlocksFor(bytes); left != 0; --left) {
      if (block >= blocks || in_use[block]) return segment_.Damaged("the blocks of a body");
      in_use[block] = true;
      last = block;
      block = segment_.links[block].load(kRelaxed);
    }
    if (job.last_block.load(kRelaxed) != last) return segment_.Damaged("the blocks of a body");

    const uint64_t id = job.id.load(kRelaxed);
    if (id >= header_.next_id.load(kRelaxed)) header_.next_id.store(id + 1, kRelaxed);
    if (StateOf(state) == JobState::kReady) {
      if (absl::Status status = PushReady(slot); !status.ok()) return status;
    } else if (StateOf(state) == JobState::kLeased && HolderOf(state) < segment_.geometry.participants) {
      Increment(header_.leased);
      Increment(segment_.leases[HolderOf(state)]);
    } else {
      return segment_.Damaged("the state of a job");
    }
  }

  header_.free_block.store(kNoJobIndex, kRelaxed);
  uint32_t listed = 0;
  for (uint32_t block = blocks; block-- > 0;) {
    if (in_use[block]) continue;
    segment_.links[block].store(header_.free_block.load(kRelaxed), kRelaxed);
    header_.free_block.store(block, kRelaxed);
    ++listed;
  }
  header_.listed_blocks.store(listed, kRelaxed);
  return absl::OkStatus();
}

}  // namespace ko
