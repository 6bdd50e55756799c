#ifndef KO_MANAGER_ATTEMPT_ENTRY_H_
#define KO_MANAGER_ATTEMPT_ENTRY_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/memory_slots.h"
#include "ko/manager/self.h"
#include "ko/manager/stop_plan.h"
#include "ko/os/event_fd.h"

namespace ko {

// What a new attempt is told of itself. A plain value.
struct AttemptFacts {
  int attempt = 0;  // its number, where it is no spare
  int slot = -1;
  int64_t max_tasks = 0;
  StopTarget target = StopTarget::kProcess;
  bool takes_self = false;
  bool is_spare = false;
  bool is_followed = false;  // a spare may wait for its end
  // Of a spare with leave to begin: whose end it waits for, in memory that all children have at one place.
  ControlSlot* followed = nullptr;
  pid_t followed_pid = 0;
};

// In a new process, with all signals blocked, however it was made: does what is to be done before its body runs. Of a spare,
// that is to wait for its turn. Null where the body takes no Self. Errors: of what Self::Create and a group of its own need.
absl::StatusOr<std::unique_ptr<Self>> EnterAttempt(const AttemptFacts& facts, const ControlSlotRef& control,
                                                   const std::shared_ptr<ProcessMemory>& memory,
                                                   os::EventFd bell);

}  // namespace ko

#endif  // KO_MANAGER_ATTEMPT_ENTRY_H_
