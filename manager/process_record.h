#ifndef KO_MANAGER_PROCESS_RECORD_H_
#define KO_MANAGER_PROCESS_RECORD_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/manager/attempt.h"
#include "ko/manager/exit_event.h"
#include "ko/manager/managed_body.h"
#include "ko/manager/managed_command.h"
#include "ko/manager/memory_slots.h"
#include "ko/manager/process_options.h"
#include "ko/manager/restart_tracker.h"
#include "ko/manager/served_region.h"
#include "ko/manager/timer_queue.h"
#include "ko/process/exit_status.h"

namespace ko {

struct GroupRecord;
class Supervisor;

// A user's callback and the events that it is for.
struct ProcessHandler {
  enum class Event { kSuccess, kError, kExit, kReady };
  Event event;
  absl::AnyInvocable<void(const ExitEvent&)> run;  // kReady: the argument means nothing
  int heard = 0;                                   // the attempt whose end it was the last to be due for

  bool IsFor(const ExitStatus& status) const {
    return event == Event::kExit || event == (status.ok() ? Event::kSuccess : Event::kError);
  }
};

// What a managed process is to be, as the program has asked for it. Body and command are shared by the workers of a pool.
struct ProcessSpec {
  std::shared_ptr<ManagedBody> body = nullptr;
  std::shared_ptr<const ManagedCommand> command = nullptr;  // runs instead of the body
  std::optional<RestartPolicy> restart = std::nullopt;      // none: it runs once
  ProcessOptions options = {};
  int slot = -1;  // in a pool
};

inline ProcessSpec MakeSpec(ManagedBody&& body, std::optional<RestartPolicy>&& restart,
                            ProcessOptions&& options) {
  return {.body = std::make_shared<ManagedBody>(std::move(body)),
          .restart = std::move(restart),
          .options = std::move(options)};
}

inline ProcessSpec MakeSpec(Command&& command, std::optional<RestartPolicy>&& restart,
                            ProcessOptions&& options) {
  ProcessSpec spec = MakeSpec(ManagedBody([] {}), std::move(restart), std::move(options));
  spec.command = std::make_shared<ManagedCommand>(std::move(command));
  return spec;
}

// A new attempt that is to take over from the current one.
struct Replacement {
  enum class Stage {
    kStarting,   // the new one is not ready
    kObserving,  // it is, and has to live for a while yet
    kRetiring,   // the old one is asked to end
  };
  Stage stage = Stage::kStarting;
  int attempt = 0;  // the new one
  absl::Duration observe = absl::ZeroDuration();
  std::string reason;                                  // why the old one ends
  std::unique_ptr<TimerQueue::Timer> timer;            // of the observation
  absl::AnyInvocable<void(const absl::Status&)> done;  // called once: the old one has ended, or why it stays
};

// One managed process over all its attempts: what the handles (Process) and the Supervisor share. Plain state; the
// Supervisor alone changes it.
struct ProcessRecord {
  enum class State {
    kRunning,          // there is a current attempt
    kAwaitingRestart,  // or its first start
    kEnded,            // for good; `status` says how
  };

  std::weak_ptr<Supervisor> supervisor;
  Supervisor* supervisor_itself = nullptr;  // for who does not hold it
  uint64_t id = 0;                          // in the order of the first starts
  std::shared_ptr<ProcessRecord> listed;    // itself, while a RecordList has it
  ProcessSpec spec;
  std::unique_ptr<RestartTracker> restart;  // null: it runs once
  std::unique_ptr<ServedRegion> region;     // of a process that a fork server forks
  std::shared_ptr<ProcessMemory> memory;  // over all attempts, and after the end; null where it never started

  State state = State::kAwaitingRestart;
  AttemptRoom attempt_room;
  // Those that live; at most one is kCurrent, one kSpare, one kSuccessor.
  absl::InlinedVector<AttemptRoom::Pointer, 2> attempts;
  int attempt = 0;  // the number of the newest; 0 before the first start
  int last_ready_attempt = 0;
  std::optional<ExitStatus> status;  // of the newest attempt that has ended
  std::optional<ExitEvent> exit;     // all about that
  std::unique_ptr<TimerQueue::Timer> restart_timer;
  std::optional<Replacement> replacement;
  std::unique_ptr<TimerQueue::Timer> recycle_timer;  // until a failed recycling is tried again

  bool asked_to_end = false;  // no new spare; `finishing` follows
  bool finishing = false;     // no other attempt follows: it is asked to end, or its policy says so

  // In a group.
  GroupRecord* group = nullptr;
  bool due = true;        // it may start when its turn comes
  bool dragged = false;   // to be stopped, and started again, because of another's end
  bool had_turn = false;  // it has been started since the group was

  // Shared, because a handler may add or remove others, itself too, while it runs.
  std::vector<std::shared_ptr<ProcessHandler>> handlers;
  bool exit_announced = false;   // the last exit's handlers have run: later ones get a turn of their own
  bool ready_announced = false;  // likewise for the current attempt's readiness

  // Null where it is gone.
  Supervisor* FindSupervisor() const { return supervisor.expired() ? nullptr : supervisor_itself; }

  Attempt* Find(Attempt::Role role) const {
    for (const auto& each : attempts) {
      if (each->role == role) return each.get();
    }
    return nullptr;
  }
  // Whether the attempt of this number, or one after it, does. A spare is none yet.
  bool Lives(int number = 1) const {
    for (const auto& each : attempts) {
      if (each->number >= number) return true;
    }
    return false;
  }
  Attempt* current() const { return Find(Attempt::Role::kCurrent); }
  pid_t pid() const { return current() == nullptr ? 0 : current()->pid(); }
  const std::string& name() const { return spec.options.name; }
};

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_RECORD_H_
