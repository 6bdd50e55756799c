#ifndef KO_MANAGER_RESTART_TRACKER_H_
#define KO_MANAGER_RESTART_TRACKER_H_

#include <deque>

#include "absl/time/time.h"
#include "ko/manager/restart_policy.h"
#include "ko/process/exit_status.h"

namespace ko {

// A RestartPolicy applied to one process: what to do about each of its ends. Pure: no clock, no randomness, no system
// call.
//
// Threads: as an int. Fork: copied. Signals: none. Crash: none. Errors: none; the policy is a valid one.
class RestartTracker {
 public:
  enum class Action {
    kStayDown,  // the policy does not restart after such an end
    kRestart,   // after `delay`
    kGiveUp,    // it would, but the limit is reached
    kEscalate,  // likewise, and the others are to end, too
  };
  struct Decision {
    Action action;
    absl::Duration delay = absl::ZeroDuration();
  };

  explicit RestartTracker(const RestartPolicy& policy) : policy_(policy), next_delay_(policy.initial_delay) {}

  // The process ended at `now` (any clock that does not jump) after `run_time`; `random` in [0, 1) draws the jitter.
  Decision OnEnd(const ExitStatus& status, absl::Duration run_time, absl::Duration now, double random);

  // Whether the next OnEnd, from `now` on, says kRestart without a delay, however the process ends.
  bool IsSureToRestartAtOnce(absl::Duration now) const;

 private:
  bool Wants(const ExitStatus& status) const;
  // Whether the window has room for another restart.
  bool HasRoom(absl::Duration now) const;
  // The same, and it then counts.
  bool CountRestart(absl::Duration now);
  absl::Duration NextDelay(double random);

  RestartPolicy policy_;
  absl::Duration next_delay_;
  std::deque<absl::Duration> restarts_;  // when, within the window; at most max_restarts
};

}  // namespace ko

#endif  // KO_MANAGER_RESTART_TRACKER_H_
