#include "ko/manager/memory_slots.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "ko/os/process_mark.h"
#include "ko/os/shared_mapping.h"

namespace ko {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr int kSlotsPerSlab = 64;  // the bits of a word

}  // namespace

struct MemorySlots::Slab {
  os::SharedMapping mapping;
  size_t slot_bytes = 0;
  uint64_t free = ~uint64_t{0};  // a bit for each slot
  uint64_t process_mark = os::ProcessMark();

  void* At(int index) const { return static_cast<char*>(mapping.data()) + index * slot_bytes; }
};

// Owns the memory while there are references, in the process that has handed it out.
struct MemorySlots::Slot {
  Slot(std::shared_ptr<Slab> slab, int index) : slab(std::move(slab)), index(index) {}
  Slot(const Slot&) = delete;
  ~Slot() {
    if (os::ProcessMark() != slab->process_mark) return;
    // Zeroed for the next one, and its pages are free at once. Where the kernel cannot, by hand.
    if (::madvise(slab->At(index), slab->slot_bytes, MADV_REMOVE) != 0) {
      std::memset(slab->At(index), 0, slab->slot_bytes);
    }
    slab->free |= uint64_t{1} << index;
  }

  const std::shared_ptr<Slab> slab;
  const int index;
};

absl::StatusOr<std::shared_ptr<MemorySlots::Slab>> MemorySlots::MakeSlab() {
  const absl::StatusOr<size_t> bytes = SharedMemory::BytesFor(kCapacityBytes);
  if (!bytes.ok()) return bytes.status();
  auto slab = std::make_shared<Slab>();
  slab->slot_bytes = (*bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(slab->slot_bytes * kSlotsPerSlab);
  if (!mapping.ok()) return mapping.status();
  slab->mapping = *std::move(mapping);
  return slab;
}

absl::StatusOr<std::shared_ptr<SharedMemory>> MemorySlots::Allocate() {
  auto slab = std::find_if(slabs_.begin(), slabs_.end(), [](const auto& slab) { return slab->free != 0; });
  if (slab == slabs_.end()) {
    absl::StatusOr<std::shared_ptr<Slab>> made = MakeSlab();
    if (!made.ok()) return made.status();
    slab = slabs_.insert(slabs_.end(), *std::move(made));
  }
  const int index = std::countr_zero((*slab)->free);
  (*slab)->free &= ~(uint64_t{1} << index);
  auto slot = std::make_shared<Slot>(*slab, index);
  void* const data = (*slab)->At(index);
  absl::StatusOr<SharedMemory> memory = SharedMemory::CreateIn(data, kCapacityBytes, std::move(slot));
  if (!memory.ok()) return memory.status();
  return std::make_shared<SharedMemory>(*std::move(memory));
}

}  // namespace ko
