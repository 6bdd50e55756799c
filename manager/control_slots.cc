#include "ko/manager/control_slots.h"

#include <algorithm>
#include <utility>

namespace ko {

absl::StatusOr<ControlSlotRef> ControlSlots::Allocate() {
  if (free_.empty()) {
    absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(next_bytes_);
    if (!mapping.ok()) return mapping.status();
    auto shared = std::make_shared<os::SharedMapping>(*std::move(mapping));
    auto* slots = static_cast<ControlSlot*>(shared->data());
    for (size_t i = shared->bytes() / sizeof(ControlSlot); i > 0; --i)
      free_.emplace_back(shared, &slots[i - 1]);
    next_bytes_ = std::min(2 * next_bytes_, kLargestBytes);
  }
  ControlSlotRef slot = std::move(free_.back());
  free_.pop_back();
  for (auto* word : {&slot->ready, &slot->turn}) word->store(0, std::memory_order_relaxed);
  for (auto* word : {&slot->heartbeat_ns, &slot->task_ns, &slot->tasks})
    word->store(0, std::memory_order_relaxed);
  return slot;
}

void ControlSlots::Free(ControlSlotRef slot) {
  if (slot.get() != nullptr) free_.push_back(std::move(slot));
}

}  // namespace ko
