#ifndef KO_IPC_MEMORY_SEGMENT_H_
#define KO_IPC_MEMORY_SEGMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/robust_list.h"

namespace ko {

// How a SharedMemory lies in its memory: header, versions, buckets, links, blocks. Zeroed memory is an empty map.
//
// Everything is made of blocks of one size, so that no pattern of use can leave gaps too small to be used. Blocks have
// numbers from 1 on, 0 is none, and each has a link to the next one of its chain. A key with its value is a node: a chain
// of blocks that begins with a MemoryNode and goes on with the rest of a long key, and a chain of its own for a value
// that is not a number.
//
// The truth is what the buckets lead to. Each change takes effect with one store: to a bucket, a node's `next`, or a
// node's `version`. What is called derived below follows from it, and is made again after a process died inside the lock.
//
// Readers take no lock. They note the versions of a bucket and of a node, read, and look whether both are the same still:
// nothing that a reader could be on is used for something else before one of them has changed.

inline constexpr size_t kMemoryBlockBytes = 64;
inline constexpr size_t kMemoryBlockWords = kMemoryBlockBytes / 8;
inline constexpr size_t kNodeKeyBytes = 16;  // of a key, in the node itself
inline constexpr uint32_t kBucketsPerVersion = 64;

// The value word of a value in blocks: how many bytes in the upper half, the first block in the lower.
constexpr uint64_t PackExtent(uint32_t bytes, uint32_t block) { return uint64_t{bytes} << 32 | block; }
constexpr uint32_t ExtentBytes(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
constexpr uint32_t ExtentBlock(uint64_t word) { return static_cast<uint32_t>(word); }

struct MemoryNode {
  std::atomic<uint64_t> version;    // bit 0 tells which of the values counts
  std::atomic<uint64_t> values[2];  // a number's bits, or an extent
  std::atomic<uint32_t> tag;        // the value's type; never changes
  std::atomic<uint32_t> next;       // the next node of the bucket
  std::atomic<uint32_t> key_bytes;
  std::atomic<uint32_t> hash;      // the upper half
  std::atomic<uint64_t> sequence;  // the order of insertion
  std::atomic<uint64_t> key[kNodeKeyBytes / 8];
};
static_assert(sizeof(MemoryNode) == kMemoryBlockBytes);

// Bits of MemoryHeader::state.
inline constexpr uint32_t kMemoryClearing = 1;  // the map is empty, though buckets may not be yet
inline constexpr uint32_t kMemoryUnfinished =
    2;                                         // somebody died inside the lock, and what is derived is wrong
inline constexpr uint32_t kMemoryDamaged = 4;  // a check has failed
inline constexpr uint32_t kMemoryStopsReaders = kMemoryClearing | kMemoryDamaged;

struct MemoryHeader {
  static constexpr uint64_t kMagic = 0x6d656d6f2d6b6f31;
  static constexpr uint32_t kVersion = 1;

  // Of named memory.
  std::atomic<uint64_t> magic;
  std::atomic<uint32_t> version;
  std::atomic<uint32_t> blocks;

  std::atomic<uint32_t> state;  // on a line that writers leave alone

  os::RobustFutex lock;  // for all that write

  alignas(64) std::atomic<uint64_t> next_sequence;
  std::atomic<uint64_t> changes;  // counts the keys that came and went
  // Derived.
  std::atomic<uint32_t> nodes;
  std::atomic<uint32_t> taken_blocks;
  std::atomic<uint32_t> fresh_blocks;  // how many have ever been used; those after them have not
  std::atomic<uint32_t> free_block;    // a chain of those that are free again
};

// The sizes and places, kept by each process for itself: what the segment says is not asked.
struct MemoryGeometry {
  // Room for `capacity_bytes` bytes of keys and values, in whole blocks. InvalidArgument for 0 and beyond 2^31 blocks.
  static absl::StatusOr<MemoryGeometry> Of(size_t capacity_bytes);

  uint32_t blocks;
  uint32_t buckets;  // a power of 2, and at least kBucketsPerVersion
  size_t versions_offset, buckets_offset, links_offset, blocks_offset;
  size_t segment_bytes;
};

// Views of it, none of which owns anything.
struct MemorySegment {
  MemorySegment(void* data, const MemoryGeometry& geometry);

  // For named memory, whose first bytes tell what it is.
  void Sign();
  absl::Status CheckSignature(size_t mapped_bytes) const;

  // Counts how often something has been taken out of the bucket, or of one of its neighbours.
  std::atomic<uint64_t>& Version(uint32_t bucket) const { return versions[bucket / kBucketsPerVersion]; }
  bool IsBlock(uint32_t number) const { return number - 1 < geometry.blocks; }
  std::atomic<uint64_t>* Block(uint32_t number) const { return blocks + (number - 1) * kMemoryBlockWords; }
  MemoryNode& Node(uint32_t number) const { return *reinterpret_cast<MemoryNode*>(Block(number)); }
  std::atomic<uint32_t>& Link(uint32_t number) const { return links[number - 1]; }

  // A check has failed: the state says so from now on. Returns the DataLoss.
  absl::Status Damaged(const char* what) const;

  MemoryGeometry geometry;
  MemoryHeader* header;
  std::atomic<uint64_t>* versions;
  std::atomic<uint32_t>* buckets;  // the first node of each
  std::atomic<uint32_t>* links;
  std::atomic<uint64_t>* blocks;
};

}  // namespace ko

#endif  // KO_IPC_MEMORY_SEGMENT_H_
