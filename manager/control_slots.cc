#include "ko/manager/control_slots.h"

#include <algorithm>
#include <utility>

namespace ko {

absl::StatusOr<ControlSlotRef> ControlSlots::Allocate() {
  if (free_.empty()) {
    absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(next_bytes_);
    if (!mapping.ok()) return mapping.status();
    void* const first = mapping->data();
    Add(std::make_shared<os::SharedMapping>(*std::move(mapping)), first, next_bytes_);
    next_bytes_ = std::min(2 * next_bytes_, kLargestBytes);
  }
  ControlSlotRef slot = std::move(free_.back());
  free_.pop_back();
  for (auto* word : {&slot->ready, &slot->turn, &slot->life.word}) word->store(0, std::memory_order_relaxed);
  for (auto* word : {&slot->heartbeat_ns, &slot->task_ns, &slot->tasks})
    word->store(0, std::memory_order_relaxed);
  return slot;
}

void ControlSlots::Add(std::shared_ptr<os::SharedMapping> mapping, void* first, size_t bytes) {
  auto* const slots = static_cast<ControlSlot*>(first);
  free_.reserve(free_.capacity() + bytes / sizeof(ControlSlot));
  for (size_t i = bytes / sizeof(ControlSlot); i > 0; --i) free_.emplace_back(mapping, &slots[i - 1]);
}

void ControlSlots::Free(ControlSlotRef slot) {
  if (slot.get() != nullptr) free_.push_back(std::move(slot));
}

}  // namespace ko
