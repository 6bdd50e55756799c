#ifndef KO_MANAGER_RESTART_POLICY_H_
#define KO_MANAGER_RESTART_POLICY_H_

#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ko {

// When and how soon a process that has ended is started again.
//
// Delays grow from `initial_delay` by `delay_factor` up to `max_delay`; each is spread by +-`jitter` of itself, so that
// children that failed together do not come back together. A process that ran for `stable_after` or longer has proved
// itself: its next delay is the initial one again. More than `max_restarts` within `window` is the limit, where `at_limit`
// says what happens. Times are on the monotonic clock; setting the wall clock changes nothing. A start that fails (no memory, no
// process left) counts as a run of no length.
struct RestartPolicy {
  enum class When {
    kNever,
    kOnFailure,  // whenever its ExitStatus is not ok(): a code other than 0, any signal, a failed start
    kAlways,
    kOnAbnormalEnd,  // a signal, a failed start, or an unknown end; no exit code: what exits has chosen to
  };
  enum class AtLimit {
    kGiveUp,    // this process stays down, the others go on
    kEscalate,  // the manager shuts down, and its Wait says why (Aborted)
    kHold,      // restarted for ever, at the largest delay, until the window allows more
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
  // One that fails does not take others with it unless told to: most programs have processes they can do without.
  AtLimit at_limit = AtLimit::kGiveUp;
  // Exit codes that decide whatever `when` says: a wrong configuration, say, that no restart would mend, and a wish to be
  // started anew. No code means so to all programs: none by default. The limit holds for the second kind, too.
  std::vector<int> prevent_codes = {};
  std::vector<int> force_codes = {};

  // Keep one forked in advance, which waits for its turn: a restart then takes a wake-up instead of a fork. It has the state
  // of the manager at the start of the one that it replaces, and takes its memory (copied where one of the two writes) and a
  // pid. Of bodies only; after `initial_delay` as any restart. Where it is certain in advance that an end is followed by a
  // restart at once (kAlways, no prevent_codes, no delay, room for a restart in the window; in no group, and stopped as a
  // process and not as a tree), it begins by itself as soon as the kernel begins to end the other one, whatever the manager is
  // doing and however large the other one's memory is; at the end of one with other threads, or that calls std::exit, at the
  // manager's word.
  bool hot_spare = false;

  // InvalidArgument, naming the field, for a policy that makes no sense: negative or infinite delays, max_delay below
  // initial_delay, a factor below 1, a jitter outside [0, 1], negative max_restarts or window, a code outside [0, 255] or
  // in both lists.
  absl::Status Validate() const;
};

}  // namespace ko

#endif  // KO_MANAGER_RESTART_POLICY_H_
