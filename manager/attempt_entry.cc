#include "ko/manager/attempt_entry.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/terminal_interrupt.h"

namespace ko {
namespace {

// The number of the attempt that a spare becomes. The manager's death ends it in its sleep.
int AwaitTurn(const ControlSlot& control) {
  for (;;) {
    // Pairs with the store in Supervisor::UseSpare.
    const uint32_t turn = control.turn.load(std::memory_order_acquire);
    if (turn != 0) return static_cast<int>(turn);
    os::FutexWaitList word;
    word.Add(control.turn, 0, os::FutexScope::kShared);
    word.Sleep(os::Deadline::After(absl::InfiniteDuration()));
  }
}

// The leader that the stops of its target need.
absl::Status LeadForStops(StopTarget target) {
  const bool failed = (target == StopTarget::kGroup && ::setpgid(0, 0) != 0) ||
                      (target == StopTarget::kTree && ::setsid() < 0);
  return failed ? absl::ErrnoToStatus(errno, "ProcessManager: no process group of its own")
                : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Self>> EnterAttempt(const AttemptFacts& facts, const ControlSlotRef& control,
                                                   std::shared_ptr<ProcessMemory> memory, os::EventFd bell) {
  os::LeaveTerminalInterruptsToParent();
  if (absl::Status led = LeadForStops(facts.target); !led.ok()) return led;
  std::unique_ptr<Self> self;
  if (facts.takes_self) {
    absl::StatusOr<std::unique_ptr<Self>> created =
        Self::Create(facts.attempt, facts.slot, facts.max_tasks, control, std::move(memory), std::move(bell));
    if (!created.ok()) return created.status();
    self = *std::move(created);
  }
  if (facts.is_spare) {
    const int attempt = AwaitTurn(*control.get());
    if (self != nullptr) self->attempt_ = attempt;
  }
  return self;
}

}  // namespace ko
