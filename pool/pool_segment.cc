#include "ko/pool/pool_segment.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace ko::pool {
namespace {

constexpr size_t kPage = 4096;  // what is large starts on a page of its own, so that it can be given back
// What a task may keep: a moderately large message is not paid for with page faults each time.
constexpr size_t kKeptBytes = size_t{64} << 10;

size_t Rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

uint32_t WorkerSet::First(uint32_t workers) const {
  for (uint32_t i = 0; i * 64 < workers; ++i) {
    // Pairs with the exchanges of Add and Remove; see WakeWorker.
    const uint64_t word = words_[i].load(std::memory_order_seq_cst);
    if (word != 0) return std::min(i * 64 + static_cast<uint32_t>(std::countr_zero(word)), workers);
  }
  return workers;
}

uint32_t WorkerSet::Count(uint32_t workers) const {
  uint32_t count = 0;
  for (uint32_t i = 0; i * 64 < workers; ++i) {
    count += static_cast<uint32_t>(std::popcount(words_[i].load(std::memory_order_relaxed)));
  }
  return std::min(count, workers);
}

PoolSegment::PoolSegment(const Geometry& geometry) : geometry_(geometry) {
  // A worker that is slow to take a task may leave an entry behind for one that has been queued again since.
  queue_entries_ = std::bit_ceil(size_t{geometry.tasks} + geometry.workers + 1);
  workers_at_ = Rounded(sizeof(PoolHeader), alignof(WorkerSlot));
  tasks_at_ = workers_at_ + geometry.workers * sizeof(WorkerSlot);
  queue_at_ = tasks_at_ + geometry.tasks * sizeof(TaskSlot);
  large_at_ = Rounded(queue_at_ + queue_entries_ * sizeof(uint64_t), kPage);
  arguments_bytes_ = Rounded(geometry.message_bytes, kPage);
  results_bytes_ = Rounded(2 * geometry.message_bytes, kPage) + kPage;  // and their headers
}

absl::StatusOr<std::shared_ptr<PoolSegment>> PoolSegment::Create(const Geometry& geometry) {
  std::shared_ptr<PoolSegment> segment(new PoolSegment(geometry));
  absl::StatusOr<os::SharedMapping> mapping =
      os::SharedMapping::CreateSparse(segment->ArgumentsAt(geometry.tasks));
  if (!mapping.ok()) return mapping.status();
  segment->mapping_ = *std::move(mapping);
  return segment;
}

void PoolSegment::Release(size_t offset, size_t bytes) const {
  if (bytes > kKeptBytes) mapping_.Discard(offset + kKeptBytes, Rounded(bytes - kKeptBytes, kPage));
}

}  // namespace ko::pool
