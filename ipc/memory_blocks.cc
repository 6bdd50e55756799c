#include "ko/ipc/memory_blocks.h"

#include <algorithm>
#include <cstring>

namespace ko {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;  // the commits and the readers' checks order these

void Store(std::atomic<uint64_t>* block, const char* bytes, size_t count) {
  for (; count >= 8; bytes += 8, count -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    (block++)->store(word, kRelaxed);
  }
  if (count == 0) return;
  uint64_t word = 0;
  std::memcpy(&word, bytes, count);
  block->store(word, kRelaxed);
}

void Load(const std::atomic<uint64_t>* block, char* bytes, size_t count) {
  for (; count >= 8; bytes += 8, count -= 8) {
    const uint64_t word = (block++)->load(kRelaxed);
    std::memcpy(bytes, &word, 8);
  }
  if (count == 0) return;
  const uint64_t word = block->load(kRelaxed);
  std::memcpy(bytes, &word, count);
}

}  // namespace

uint32_t MemoryBlocks::free() const {
  return segment_.geometry.blocks - std::min(header_.taken_blocks.load(kRelaxed), segment_.geometry.blocks);
}

absl::StatusOr<uint32_t> MemoryBlocks::Take(uint32_t count) {
  if (count == 0) return 0;
  uint32_t first = 0, last = 0, taken = 0;
  uint32_t next = header_.free_block.load(kRelaxed);
  for (; taken < count && next != 0; ++taken) {
    if (!segment_.IsBlock(next)) return segment_.Damaged("the list of free blocks");
    if (first == 0) first = next;
    last = next;
    next = segment_.Link(next).load(kRelaxed);
  }
  const uint32_t fresh = header_.fresh_blocks.load(kRelaxed);
  const uint32_t wanted = count - taken;
  if (fresh > segment_.geometry.blocks || wanted > segment_.geometry.blocks - fresh) {
    return segment_.Damaged("the number of free blocks");
  }
  header_.free_block.store(next, kRelaxed);
  for (uint32_t number = fresh + 1; number <= fresh + wanted; ++number) {
    if (last != 0) segment_.Link(last).store(number, kRelaxed);
    if (first == 0) first = number;
    last = number;
  }
  segment_.Link(last).store(0, kRelaxed);
  header_.fresh_blocks.store(fresh + wanted, kRelaxed);
  header_.taken_blocks.store(header_.taken_blocks.load(kRelaxed) + count, kRelaxed);
  return first;
}

absl::Status MemoryBlocks::Give(uint32_t first, uint32_t count) {
  if (count == 0) return absl::OkStatus();
  uint32_t last = first;
  for (uint32_t i = 1; i < count && segment_.IsBlock(last); ++i) last = segment_.Link(last).load(kRelaxed);
  if (!segment_.IsBlock(first) || !segment_.IsBlock(last))
    return segment_.Damaged("a chain that is given back");
  segment_.Link(last).store(header_.free_block.load(kRelaxed), kRelaxed);
  header_.free_block.store(first, kRelaxed);
  header_.taken_blocks.store(header_.taken_blocks.load(kRelaxed) - count, kRelaxed);
  return absl::OkStatus();
}

void MemoryBlocks::Rebuild(const std::vector<bool>& used) {
  uint32_t fresh = segment_.geometry.blocks;
  while (fresh > 0 && !used[fresh - 1]) --fresh;
  uint32_t next = 0, taken = 0;
  for (uint32_t number = fresh; number > 0; --number) {
    if (used[number - 1]) {
      ++taken;
    } else {
      segment_.Link(number).store(next, kRelaxed);
      next = number;
    }
  }
  header_.free_block.store(next, kRelaxed);
  header_.fresh_blocks.store(fresh, kRelaxed);
  header_.taken_blocks.store(taken, kRelaxed);
}

template <class Visit>
bool MemoryBlocks::ForEachBlock(uint32_t first, size_t bytes, Visit visit) const {
  uint32_t number = first;
  for (size_t done = 0; done < bytes; done += kMemoryBlockBytes) {
    if (!segment_.IsBlock(number)) return false;
    if (!visit(segment_.Block(number), done, std::min(kMemoryBlockBytes, bytes - done))) return false;
    number = segment_.Link(number).load(kRelaxed);
  }
  return true;
}

void MemoryBlocks::Write(uint32_t first, std::string_view bytes) {
  ForEachBlock(first, bytes.size(), [&](std::atomic<uint64_t>* block, size_t offset, size_t count) {
    Store(block, bytes.data() + offset, count);
    return true;
  });
}

bool MemoryBlocks::Read(uint32_t first, char* bytes, size_t count) const {
  return ForEachBlock(first, count, [&](const std::atomic<uint64_t>* block, size_t offset, size_t part) {
    Load(block, bytes + offset, part);
    return true;
  });
}

bool MemoryBlocks::Equal(uint32_t first, std::string_view bytes) const {
  return ForEachBlock(first, bytes.size(),
                      [&](const std::atomic<uint64_t>* block, size_t offset, size_t part) {
                        char copy[kMemoryBlockBytes];
                        Load(block, copy, part);
                        return std::memcmp(copy, bytes.data() + offset, part) == 0;
                      });
}

}  // namespace ko
