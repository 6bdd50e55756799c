#ifndef KO_MANAGER_CONTROL_SLOTS_H_
#define KO_MANAGER_CONTROL_SLOTS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/os/shared_mapping.h"

namespace ko {

// What a child tells its manager while it lives, in memory that the two share. Zeroed memory is a child that has said
// nothing. Crash: a single store each, so there is nothing half-said.
struct alignas(64) ControlSlot {        // a cache line of its own
  std::atomic<uint32_t> ready_attempt;  // the attempt that is ready; attempts count from 1
};

// A slot and the memory that it lies in, kept mapped as long as somebody has it.
class ControlSlotRef {
 public:
  ControlSlotRef() = default;
  ControlSlotRef(std::shared_ptr<os::SharedMapping> page, ControlSlot* slot)
      : page_(std::move(page)), slot_(slot) {}

  ControlSlot* operator->() const { return slot_; }
  ControlSlot* get() const { return slot_; }

 private:
  std::shared_ptr<os::SharedMapping> page_;
  ControlSlot* slot_ = nullptr;
};

// Hands out slots, many to a page, so that a thousand children cost a few mappings and no descriptor.
class ControlSlots {
 public:
  // A zeroed slot. Errors: ResourceExhausted.
  absl::StatusOr<ControlSlotRef> Allocate();
  // Nobody may use `slot` afterwards; the child that did has ended.
  void Free(ControlSlotRef slot);

 private:
  static constexpr size_t kPageBytes = 4096;
  static constexpr size_t kSlotsPerPage = kPageBytes / sizeof(ControlSlot);

  std::vector<ControlSlotRef> free_;
};

}  // namespace ko

#endif  // KO_MANAGER_CONTROL_SLOTS_H_
