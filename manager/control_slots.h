#ifndef KO_MANAGER_CONTROL_SLOTS_H_
#define KO_MANAGER_CONTROL_SLOTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/os/robust_list.h"
#include "ko/os/shared_mapping.h"

namespace ko {

// What an attempt tells its manager while it lives, and its manager it, in memory that the two share. Zeroed memory is one
// that has said nothing. Crash: a single store each, so there is nothing half-said. Times are nanoseconds of
// os::MonotonicNow.
struct alignas(64) ControlSlot {      // cache lines of its own
  std::atomic<uint32_t> ready;        // 1 where it is
  std::atomic<uint32_t> turn;         // of a spare: see SpareTurn; a futex
  std::atomic<int64_t> heartbeat_ns;  // the last one; 0: none
  std::atomic<int64_t> task_ns;       // when the task that is under way began; 0: none is
  std::atomic<int64_t> tasks;         // that have ended
  os::RobustFutex life;               // where a spare may follow: held by the attempt's first thread
};

// A slot and the memory that it lies in, kept mapped as long as somebody has it.
class ControlSlotRef {
 public:
  ControlSlotRef() = default;
  ControlSlotRef(std::shared_ptr<os::SharedMapping> page, ControlSlot* slot)
      : page_(std::move(page)), slot_(slot) {}

  const std::shared_ptr<os::SharedMapping>& page() const { return page_; }
  ControlSlot* operator->() const { return slot_; }
  ControlSlot* get() const { return slot_; }

 private:
  std::shared_ptr<os::SharedMapping> page_;
  ControlSlot* slot_ = nullptr;
};

// Hands out slots, many in one mapping, so that thousands of children cost a few mappings and no descriptor.
class ControlSlots {
 public:
  ControlSlots() = default;
  // Those in `bytes` zeroed bytes of a mapping, before any other.
  ControlSlots(std::shared_ptr<os::SharedMapping> mapping, void* first, size_t bytes) {
    Add(std::move(mapping), first, bytes);
  }

  // A zeroed slot. Errors: ResourceExhausted.
  absl::StatusOr<ControlSlotRef> Allocate();
  // Nobody may use `slot` afterwards; the child that did has ended.
  void Free(ControlSlotRef slot);

 private:
  void Add(std::shared_ptr<os::SharedMapping> mapping, void* first, size_t bytes);

  static constexpr size_t kFirstBytes = 4096;
  static constexpr size_t kLargestBytes = 64 << 10;

  size_t next_bytes_ =
      kFirstBytes;  // of the next mapping: each is twice as large as the one before, to a limit
  std::vector<ControlSlotRef> free_;
};

}  // namespace ko

#endif  // KO_MANAGER_CONTROL_SLOTS_H_
