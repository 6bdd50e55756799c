#ifndef KO_IPC_MEMORY_MAP_H_
#define KO_IPC_MEMORY_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/ipc/memory_blocks.h"
#include "ko/ipc/memory_key.h"
#include "ko/ipc/memory_segment.h"
#include "ko/os/deadline.h"

namespace ko {

// The tag of a value's type has this bit where the value is bytes in blocks, and its word their extent.
inline constexpr uint32_t kInBlocks = uint32_t{1} << 30;

// A value as the map keeps it.
struct MemoryValue {
  uint32_t tag = 0;
  uint64_t word = 0;       // of a number
  std::string_view bytes;  // of one in blocks
};

// The map of SharedMemory, without types: keys to tagged words and bytes. Everything that is said there holds here.
class MemoryMap {
 public:
  // In the memory at `data`, which is zeroed or has been a map of the same geometry; `owner` keeps it mapped.
  MemoryMap(void* data, const MemoryGeometry& geometry, std::shared_ptr<const void> owner)
      : owner_(std::move(owner)), segment_(data, geometry), blocks_(segment_) {}
  MemoryMap(const MemoryMap&) = delete;
  ~MemoryMap();

  // What Read finds: NotFound and DataLoss as codes, because a miss is not to cost a message.
  enum class Found { kYes, kNo, kDamaged };
  // Without the lock. `value.tag` and, for numbers, `value.word`; bytes go where `place` says, which is asked with their
  // tag and number, perhaps several times, and may say null to have none of them.
  using Place = absl::FunctionRef<char*(uint32_t tag, size_t bytes)>;
  Found Read(const MemoryKey& key, MemoryValue& value, Place place) const;

  // The short way to a number under a key of up to 16 bytes. False where only Read can tell.
  bool ReadNumber(const MemoryKey& key, MemoryValue& value) const;

  absl::Status Set(const MemoryKey& key, const MemoryValue& value);
  absl::Status Erase(const MemoryKey& key);
  absl::Status Clear();

  absl::StatusOr<std::vector<std::string>> Keys() const;
  absl::StatusOr<size_t> size() const;
  absl::StatusOr<size_t> used_bytes() const;
  size_t capacity_bytes() const { return size_t{segment_.geometry.blocks} * kMemoryBlockBytes; }

  // What no other process may come between. kShort: without anything else that takes a robust lock.
  enum class HoldKind { kShort, kKept };
  absl::Status Acquire(HoldKind kind, const os::Deadline& deadline) const;
  void Release(HoldKind kind) const;
  bool IsHeld() const;

  // How often the calling thread has locked it. Guarded by holding.
  int& lock_depth() { return lock_depth_; }

  absl::Status DamagedStatus() const { return segment_.Damaged("a node"); }
  const MemorySegment& segment() const { return segment_; }

 private:
  // Holds the lock for one operation, unless the thread has it anyway.
  class Hold;
  // A node and the one before it in its bucket; 0 for none.
  struct Position {
    uint32_t node = 0, before = 0;
  };
  struct BucketKeys;

  uint32_t BucketOf(const MemoryKey& key) const {
    return static_cast<uint32_t>(key.hash()) & (segment_.geometry.buckets - 1);
  }
  inline bool IsNodeOf(const MemoryNode& node, uint32_t number, const MemoryKey& key) const;
  inline bool TryRead(const MemoryKey& key, MemoryValue& value, Place place, Found& found) const;
  bool TryKeys(std::vector<std::string>& keys) const;
  bool TryBucketKeys(uint32_t bucket, std::vector<std::pair<uint64_t, std::string>>& found) const;

  absl::StatusOr<Position> FindLocked(const MemoryKey& key) const;
  absl::Status SetInPlace(MemoryNode& node, const MemoryValue& value);
  absl::StatusOr<uint32_t> MakeNode(const MemoryKey& key, const MemoryValue& value, uint64_t sequence,
                                    uint32_t next);
  absl::Status CheckRoom(uint32_t blocks, const MemoryKey& key, const MemoryValue& value) const;
  // Makes `next` what comes at the position, instead of the node that is there.
  void Commit(uint32_t bucket, const Position& position, uint32_t next);
  // After a node has been led past, and before it is given back: whoever was on the way to it looks again.
  void CountVersion(uint32_t bucket) const;
  absl::Status GiveNode(uint32_t number);

  absl::Status Repair() const;
  void FinishClear() const;
  absl::Status MarkUsed(uint32_t bucket, std::vector<bool>& used, uint32_t& nodes) const;
  // Waits for whatever keeps a reader from going on without the lock.
  absl::Status Settle() const;

  const std::shared_ptr<const void> owner_;
  MemorySegment segment_;
  mutable MemoryBlocks blocks_;
  int lock_depth_ = 0;
};

// As TryRead, for the case that programs wait for.
inline bool MemoryMap::ReadNumber(const MemoryKey& key, MemoryValue& value) const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  constexpr int kSteps = 8;
  const uint32_t bucket = BucketOf(key);
  const auto hash = static_cast<uint32_t>(key.hash() >> 32);
  // Acquire, here and below: as in TryRead.
  const std::atomic<uint64_t>& bucket_version = segment_.Version(bucket);
  const uint64_t version_before = bucket_version.load(std::memory_order_acquire);
  uint32_t number = segment_.buckets[bucket].load(std::memory_order_acquire);
  for (int steps = 0; steps < kSteps && segment_.IsBlock(number); ++steps) {
    const MemoryNode& node = segment_.Node(number);
    if (node.hash.load(kRelaxed) != hash || node.key[0].load(kRelaxed) != key.first(0) ||
        node.key[1].load(kRelaxed) != key.first(1) || node.key_bytes.load(kRelaxed) != key.bytes().size()) {
      number = node.next.load(std::memory_order_acquire);
      continue;
    }
    const uint64_t version = node.version.load(std::memory_order_acquire);
    value.word = node.values[version & 1].load(kRelaxed);
    value.tag = node.tag.load(kRelaxed);
    std::atomic_thread_fence(std::memory_order_acquire);  // before the words are looked at again
    return (value.tag & kInBlocks) == 0 && key.bytes().size() <= kNodeKeyBytes &&
           node.version.load(kRelaxed) == version && bucket_version.load(kRelaxed) == version_before &&
           (segment_.header->state.load(kRelaxed) & kMemoryStopsReaders) == 0;
  }
  return false;
}

}  // namespace ko

#endif  // KO_IPC_MEMORY_MAP_H_
