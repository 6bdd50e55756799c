#ifndef KO_MANAGER_RESTART_POLICY_H_
#define KO_MANAGER_RESTART_POLICY_H_

#include <deque>
#include <limits>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/process/exit_status.h"

namespace ko {

// When and how soon a process that has ended is started again.
//
// Delays grow from `initial_delay` by `delay_factor` up to `max_delay`; each is spread by +-`jitter` of itself, so that
// children that failed together do not come back together. A process that ran for `stable_after` or longer has proved
// itself: its next delay is the initial one again. More than `max_restarts` within `window` is the limit: the process
// stays down. Times are on the monotonic clock; setting the wall clock changes nothing. A start that fails (no memory, no
// process left) counts as a run of no length.
struct RestartPolicy {
  enum class When {
    kNever,
    kOnFailure,  // whenever its ExitStatus is not ok(): a code other than 0, any signal, a failed start
    kAlways,
  };
  static constexpr int kUnlimited = std::numeric_limits<int>::max();

  // As the ancestor of this library did: what ended well has done its work.
  When when = When::kOnFailure;
  // Short enough that one crash is hardly noticed, long enough that a crash loop does not eat a core.
  absl::Duration initial_delay = absl::Milliseconds(100);
  double delay_factor = 2;
  // A dependency that is back (a database restarted) is noticed within this.
  absl::Duration max_delay = absl::Seconds(5);
  double jitter = 0.1;
  absl::Duration stable_after = absl::Seconds(10);
  // With the delays above, a process that dies at once is given up after about half a minute, one that lives for six
  // seconds or more is restarted for ever.
  int max_restarts = 10;
  absl::Duration window = absl::Minutes(1);

  // InvalidArgument, naming the field, for a policy that makes no sense: negative or infinite delays, max_delay below
  // initial_delay, a factor below 1, a jitter outside [0, 1], negative max_restarts or window.
  absl::Status Validate() const;
};

// The policy applied to one process: what to do about each of its ends. Pure: no clock, no randomness, no system call.
class RestartTracker {
 public:
  enum class Action {
    kStayDown,  // the policy does not restart after such an end
    kRestart,   // after `delay`
    kGiveUp,    // it would, but the limit is reached
  };
  struct Decision {
    Action action;
    absl::Duration delay = absl::ZeroDuration();
  };

  explicit RestartTracker(const RestartPolicy& policy) : policy_(policy), next_delay_(policy.initial_delay) {}

  // The process ended at `now` (any clock that does not jump) after `run_time`; `random` in [0, 1) draws the jitter.
  Decision OnEnd(const ExitStatus& status, absl::Duration run_time, absl::Duration now, double random);

 private:
  bool Wants(const ExitStatus& status) const;

  RestartPolicy policy_;
  absl::Duration next_delay_;
  std::deque<absl::Duration> restarts_;  // when, within the window
};

}  // namespace ko

#endif  // KO_MANAGER_RESTART_POLICY_H_
