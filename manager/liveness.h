#ifndef KO_MANAGER_LIVENESS_H_
#define KO_MANAGER_LIVENESS_H_

#include <csignal>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ko {

// Within which times a process has to show that it goes on. One that misses a deadline gets `hung_signal`, for the stack dump
// that SIGABRT leaves or for a handler of its own, `hung_grace` to end of it, and SIGKILL; what follows is for its
// RestartPolicy to say. All infinite by default: nobody else knows how long a body's work takes.
struct LivenessPolicy {
  // From the start of the process to Self::NotifyReady (of a command: READY=1 of sd_notify(3)).
  absl::Duration start_deadline = absl::InfiniteDuration();
  // From one Self::Heartbeat (WATCHDOG=1) to the next. The first is due so long after the process is ready, where it is to
  // tell (ProcessOptions::ready), or was started.
  absl::Duration heartbeat_deadline = absl::InfiniteDuration();
  // From Self::BeginTask to Self::EndTask.
  absl::Duration task_deadline = absl::InfiniteDuration();

  int hung_signal = SIGABRT;
  // Writing a core of some gigabytes takes seconds.
  absl::Duration hung_grace = absl::Seconds(5);

  bool IsAnything() const;

  // InvalidArgument, naming the field: a deadline that is not positive, a number that is no signal, an infinite or negative
  // grace.
  absl::Status Validate() const;
};

// What is known of one attempt. Times on one clock that does not jump.
struct LivenessView {
  absl::Duration started_at = absl::ZeroDuration();
  bool awaits_ready = false;                              // it is to tell when it is ready
  std::optional<absl::Duration> ready_at = std::nullopt;  // when it did
  std::optional<absl::Duration> last_heartbeat = std::nullopt;
  std::optional<absl::Duration> task_began = std::nullopt;  // the one that is under way
};

enum class Missed { kNone, kStart, kHeartbeat, kTask };

struct LivenessVerdict {
  Missed missed = Missed::kNone;
  absl::Duration check_at = absl::InfiniteDuration();  // when to look again; nothing can be missed before
};

// Pure. Looking only at `check_at` finds every deadline that is missed, at the moment it is missed.
LivenessVerdict CheckLiveness(const LivenessPolicy& policy, const LivenessView& view, absl::Duration now);

// "start deadline" and so on.
std::string_view MissedName(Missed missed);

}  // namespace ko

#endif  // KO_MANAGER_LIVENESS_H_
