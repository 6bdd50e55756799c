#include "ko/ipc/memory_segment.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace ko {
namespace {

constexpr size_t kAlignment = 128;              // a pair of cache lines
constexpr size_t kMaxBlocks = size_t{1} << 31;  // the number of buckets has 32 bits too

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

}  // namespace

absl::StatusOr<MemoryGeometry> MemoryGeometry::Of(size_t capacity_bytes) {
  if (capacity_bytes == 0 || capacity_bytes > kMaxBlocks * kMemoryBlockBytes) {
    return absl::InvalidArgumentError(absl::StrCat("SharedMemory: a capacity of ", capacity_bytes, " bytes"));
  }
  MemoryGeometry geometry;
  geometry.blocks = static_cast<uint32_t>((capacity_bytes + kMemoryBlockBytes - 1) / kMemoryBlockBytes);
  // A key takes a block at least, and most take two: less than one key for each bucket.
  geometry.buckets = std::max(std::bit_ceil(geometry.blocks), kBucketsPerVersion);

  size_t offset = 0;
  const auto place = [&offset](size_t count, size_t bytes) {
    const size_t here = offset;
    offset = (offset + count * bytes + kAlignment - 1) / kAlignment * kAlignment;
    return here;
  };
  place(1, sizeof(MemoryHeader));
  geometry.versions_offset = place(geometry.buckets / kBucketsPerVersion, sizeof(std::atomic<uint64_t>));
  geometry.buckets_offset = place(geometry.buckets, sizeof(std::atomic<uint32_t>));
  geometry.links_offset = place(geometry.blocks, sizeof(std::atomic<uint32_t>));
  geometry.blocks_offset = place(geometry.blocks, kMemoryBlockBytes);
  geometry.segment_bytes = offset;
  return geometry;
}

MemorySegment::MemorySegment(void* data, const MemoryGeometry& geometry) : geometry(geometry) {
  char* const base = static_cast<char*>(data);
  header = reinterpret_cast<MemoryHeader*>(base);
  versions = reinterpret_cast<std::atomic<uint64_t>*>(base + geometry.versions_offset);
  buckets = reinterpret_cast<std::atomic<uint32_t>*>(base + geometry.buckets_offset);
  links = reinterpret_cast<std::atomic<uint32_t>*>(base + geometry.links_offset);
  blocks = reinterpret_cast<std::atomic<uint64_t>*>(base + geometry.blocks_offset);
}

void MemorySegment::Sign() {
  header->magic = MemoryHeader::kMagic;
  header->version = MemoryHeader::kVersion;
  header->blocks = geometry.blocks;
}

absl::Status MemorySegment::CheckSignature(size_t mapped_bytes) const {
  if (header->magic != MemoryHeader::kMagic || header->version != MemoryHeader::kVersion ||
      header->blocks != geometry.blocks || mapped_bytes != geometry.segment_bytes) {
    return absl::DataLossError("SharedMemory: the object of this name is not one, or of another version");
  }
  return absl::OkStatus();
}

absl::Status MemorySegment::Damaged(const char* what) const {
  header->state.fetch_or(kMemoryDamaged, std::memory_order_relaxed);
  return absl::DataLossError(absl::StrCat("SharedMemory: its memory has been overwritten: ", what));
}

}  // namespace ko
