#ifndef KO_MANAGER_SERVED_REGION_H_
#define KO_MANAGER_SERVED_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/memory_slots.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"

namespace ko {

// What one managed process shares with its manager where it is no copy of it, over all its attempts: a file in memory that
// both map, of which only what is used takes any.
//
// Threads: the manager's. Fork: a child's copy refers to the same memory. Signals: none. Crash: nothing is left of the file
// when nobody has it any more. Errors: ResourceExhausted; DataLoss where the file is another.
class ServedRegion {
 public:
  static absl::StatusOr<std::unique_ptr<ServedRegion>> Create();
  // In the process that was given the file. `fd` is no longer needed afterwards.
  static absl::StatusOr<std::unique_ptr<ServedRegion>> Open(int fd);

  // For the manager: one for each attempt that lives.
  ControlSlots& control_slots() { return control_slots_; }
  // For the process: its slot, by what the manager has said of it.
  uint64_t OffsetOf(const ControlSlotRef& slot) const;
  absl::StatusOr<ControlSlotRef> SlotAt(uint64_t offset) const;

  const std::shared_ptr<ProcessMemory>& memory() const { return memory_; }

  // -1 when it has been closed: no other process is to be given the file.
  int fd() const { return fd_.get(); }
  void CloseFd() { fd_.reset(); }

 private:
  static absl::StatusOr<std::unique_ptr<ServedRegion>> Map(int fd, size_t bytes);
  ServedRegion(std::shared_ptr<os::SharedMapping> mapping, std::shared_ptr<ProcessMemory> memory);

  const std::shared_ptr<os::SharedMapping> mapping_;
  const std::shared_ptr<ProcessMemory> memory_;
  ControlSlots control_slots_;
  os::UniqueFd fd_;
};

}  // namespace ko

#endif  // KO_MANAGER_SERVED_REGION_H_
