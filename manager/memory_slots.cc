#include "ko/manager/memory_slots.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ko/os/process_mark.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kFirstSlab = 64;      // slots; some 5 MB of addresses
constexpr size_t kLargestSlab = 1024;  // for whose words that say what is used a page is enough

}  // namespace

// Those words, then the memories.
struct MemorySlots::Slab {
  os::SharedMapping mapping;
  size_t slots = 0;
  size_t slot_bytes = 0;
  std::vector<size_t> free;
  const uint64_t process_mark = os::ProcessMark();

  size_t OffsetOf(size_t index) const { return kPageBytes + index * slot_bytes; }
  void* At(size_t index) const { return static_cast<char*>(mapping.data()) + OffsetOf(index); }
  std::atomic<uint8_t>* used(size_t index) const {
    return static_cast<std::atomic<uint8_t>*>(mapping.data()) + index;
  }
};

// Owns the memory while there are references, in the process that has handed it out.
struct MemorySlots::Slot {
  Slot(std::shared_ptr<Slab> slab, size_t index) : slab(std::move(slab)), index(index) {}
  Slot(const Slot&) = delete;
  ~Slot() {
    if (os::ProcessMark() != slab->process_mark) return;
    // One that was used is zeroed for the next one, and its pages are free at once. That takes the kernel through every
    // process that maps it, so it is not done for one that was not.
    if (slab->used(index)->exchange(0, std::memory_order_relaxed) != 0 &&
        ::madvise(slab->At(index), slab->slot_bytes, MADV_REMOVE) != 0) {
      std::memset(slab->At(index), 0, slab->slot_bytes);  // where the kernel cannot
    }
    slab->free.push_back(index);
  }

  const std::shared_ptr<Slab> slab;
  const size_t index;
};

absl::StatusOr<std::shared_ptr<MemorySlots::Slab>> MemorySlots::MakeSlab(size_t slots) {
  const absl::StatusOr<size_t> bytes = SharedMemory::BytesFor(kCapacityBytes);
  if (!bytes.ok()) return bytes.status();
  auto slab = std::make_shared<Slab>();
  slab->slots = slots;
  slab->slot_bytes = (*bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(slab->OffsetOf(slots));
  if (!mapping.ok()) return mapping.status();
  slab->mapping = *std::move(mapping);
  slab->free.reserve(slots);
  for (size_t index = slots; index-- > 0;) slab->free.push_back(index);
  return slab;
}

absl::StatusOr<std::shared_ptr<ProcessMemory>> MemorySlots::Allocate() {
  auto slab =
      std::find_if(slabs_.begin(), slabs_.end(), [](const auto& slab) { return !slab->free.empty(); });
  if (slab == slabs_.end()) {
    absl::StatusOr<std::shared_ptr<Slab>> made =
        MakeSlab(slabs_.empty() ? kFirstSlab : std::min(2 * slabs_.back()->slots, kLargestSlab));
    if (!made.ok()) return made.status();
    slab = slabs_.insert(slabs_.end(), *std::move(made));
  }
  const size_t index = (*slab)->free.back();
  (*slab)->free.pop_back();
  absl::StatusOr<SharedMemory> memory =
      SharedMemory::CreateIn((*slab)->At(index), kCapacityBytes, std::make_shared<Slot>(*slab, index));
  if (!memory.ok()) return memory.status();
  return std::make_shared<ProcessMemory>(*std::move(memory), (*slab)->used(index));
}

}  // namespace ko
