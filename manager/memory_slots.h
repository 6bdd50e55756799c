#ifndef KO_MANAGER_MEMORY_SLOTS_H_
#define KO_MANAGER_MEMORY_SLOTS_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/ipc/shared_memory.h"

namespace ko {

// Hands out the memories that processes share with their manager, many in one mapping: a memory that nobody touches costs
// no page, no system call and, at a fork, no mapping of its own to copy.
//
// Threads: the manager's. Fork: a child's copies refer to the same memories, and give none back. Signals: none.
// Crash: the mappings are anonymous. Errors: ResourceExhausted.
class MemorySlots {
 public:
  static constexpr size_t kCapacityBytes = 64 << 10;  // of each memory

  // An empty one; it is used again when the last reference has gone.
  absl::StatusOr<std::shared_ptr<SharedMemory>> Allocate();

 private:
  struct Slab;
  struct Slot;
  static absl::StatusOr<std::shared_ptr<Slab>> MakeSlab();

  std::vector<std::shared_ptr<Slab>> slabs_;
};

}  // namespace ko

#endif  // KO_MANAGER_MEMORY_SLOTS_H_
