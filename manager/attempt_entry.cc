#include "ko/manager/attempt_entry.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "ko/manager/spare_turn.h"
#include "ko/os/child_code.h"
#include "ko/os/terminal_interrupt.h"

namespace ko {
namespace {

// The leader that the stops of its target need.
KO_CHILD_CODE absl::Status LeadForStops(StopTarget target) {
  const bool failed = (target == StopTarget::kGroup && ::setpgid(0, 0) != 0) ||
                      (target == StopTarget::kTree && ::setsid() < 0);
  return failed ? absl::ErrnoToStatus(errno, "ProcessManager: no process group of its own")
                : absl::OkStatus();
}

}  // namespace

KO_CHILD_CODE absl::StatusOr<std::unique_ptr<Self>> EnterAttempt(const AttemptFacts& facts,
                                                                 const ControlSlotRef& control,
                                                                 const std::shared_ptr<ProcessMemory>& memory,
                                                                 os::EventFd bell) {
  os::LeaveTerminalInterruptsToParent();
  if (absl::Status led = LeadForStops(facts.target); !led.ok()) return led;
  std::unique_ptr<Self> self;
  if (facts.takes_self) {
    absl::StatusOr<std::unique_ptr<Self>> created =
        Self::Create(facts.attempt, facts.slot, facts.max_tasks, control, memory, std::move(bell));
    if (!created.ok()) return created.status();
    self = *std::move(created);
  }
  // Where it is refused, the spare waits for the manager's word.
  if (facts.is_followed) TellSpareOfTheEnd(control).IgnoreError();
  if (facts.is_spare) {
    const int attempt = AwaitTurn(*control.get(), facts.followed, facts.followed_pid);
    if (self != nullptr) self->attempt_ = attempt;
  }
  return self;
}

}  // namespace ko
