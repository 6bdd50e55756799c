#ifndef KO_MANAGER_PROCESS_RECORD_H_
#define KO_MANAGER_PROCESS_RECORD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "ko/ipc/shared_memory.h"
#include "ko/manager/control_slots.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/managed_body.h"
#include "ko/manager/managed_command.h"
#include "ko/manager/restart_tracker.h"
#include "ko/process/child.h"
#include "ko/process/exit_status.h"

namespace ko {

class Supervisor;

// A user's callback and the events that it is for.
struct ProcessHandler {
  enum class Event { kSuccess, kError, kExit, kReady };
  Event event;
  absl::AnyInvocable<void(const ExitEvent&)> run;  // kReady: the argument means nothing

  bool IsFor(const ExitStatus& status) const {
    return event == Event::kExit || event == (status.ok() ? Event::kSuccess : Event::kError);
  }
};

// One managed process over all its attempts: what the handles (Process) and the Supervisor share. Plain state; the
// Supervisor alone changes it.
struct ProcessRecord {
  enum class State {
    kRunning,
    kAwaitingRestart,
    kEnded,  // for good; `status` says how
  };

  std::weak_ptr<Supervisor> supervisor;
  uint64_t id = 0;  // in the order of the first starts
  ManagedBody body;
  std::optional<ManagedCommand> command;  // runs instead of the body
  std::optional<RestartTracker> restart;  // none: it runs once
  ControlSlotRef control;
  std::shared_ptr<SharedMemory> memory;  // over all attempts, and after the end; null where it never started

  State state = State::kRunning;
  std::optional<Child> child;  // while kRunning
  pid_t pid = 0;               // the same; 0 where none runs
  int attempt = 0;
  int restarts = 0;
  int last_ready_attempt = 0;
  absl::Duration started_at = absl::ZeroDuration();
  std::optional<ExitStatus> status;  // of the last attempt that ended
  std::optional<ExitEvent> exit;     // all about that

  bool stopping = false;                               // asked to end; never restarted
  absl::Duration timer_at = absl::InfiniteDuration();  // the restart, or the end of the grace time

  // Shared, because a handler may add or remove others, itself too, while it runs.
  std::vector<std::shared_ptr<ProcessHandler>> handlers;
  bool exit_announced = false;   // the last exit's handlers have run: later ones get a turn of their own
  bool ready_announced = false;  // likewise for the current attempt's readiness

  explicit ProcessRecord(ManagedBody body) : body(std::move(body)) {}
};

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_RECORD_H_
