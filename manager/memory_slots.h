#ifndef KO_MANAGER_MEMORY_SLOTS_H_
#define KO_MANAGER_MEMORY_SLOTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/ipc/shared_memory.h"

namespace ko {

// A memory that a process shares with its manager, and whether either may have used it.
class ProcessMemory {
 public:
  ProcessMemory(SharedMemory memory, std::atomic<uint8_t>* used) : memory_(std::move(memory)), used_(used) {}

  // For who is about to use it.
  SharedMemory& Use() {
    // Read when the memory is given back; the end of a child that used it comes before that.
    if (used_->load(std::memory_order_relaxed) == 0) used_->store(1, std::memory_order_relaxed);
    return memory_;
  }

 private:
  SharedMemory memory_;
  std::atomic<uint8_t>* used_;
};

// Hands out the memories that processes share with their manager, many in one mapping: a memory that nobody touches costs
// no page, no system call and, at a fork, no mapping of its own to copy.
//
// Threads: the manager's. Fork: a child's copies refer to the same memories, and give none back; it allocates none.
// Signals: none. Crash: the mappings are anonymous. Errors: ResourceExhausted.
class MemorySlots {
 public:
  static constexpr size_t kCapacityBytes = 64 << 10;  // of each memory

  // An empty one; it is used again when the last reference has gone.
  absl::StatusOr<std::shared_ptr<ProcessMemory>> Allocate();

 private:
  struct Slab;
  struct Slot;
  static absl::StatusOr<std::shared_ptr<Slab>> MakeSlab(size_t slots);

  std::vector<std::shared_ptr<Slab>> slabs_;  // each twice as large as the one before, to a limit
};

}  // namespace ko

#endif  // KO_MANAGER_MEMORY_SLOTS_H_
