#ifndef KO_MANAGER_STOP_TRACKER_H_
#define KO_MANAGER_STOP_TRACKER_H_

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "ko/manager/stop_plan.h"

namespace ko {

// A StopPlan applied to one process: which signal is due when. Pure: no clock, no system call.
//
// Threads: as an int. Fork: copied. Signals: none. Crash: none. Errors: none; the plans are valid ones.
class StopTracker {
 public:
  struct Action {
    int signal;              // to send now
    absl::Duration next_at;  // when Next is due; infinite after SIGKILL
  };

  bool active() const { return active_; }

  // The plan begins at `now`. Where one is under way it is the new one's steps from now on, and the SIGKILL of the one that
  // has it earlier.
  Action Begin(const StopPlan& plan, absl::Duration now);
  // The wait of the last action is over, and the process is still there.
  Action Next(absl::Duration now);

 private:
  bool active_ = false;
  std::vector<StopStep> steps_;
  size_t next_ = 0;
  absl::Duration kill_at_ = absl::InfiniteDuration();
};

}  // namespace ko

#endif  // KO_MANAGER_STOP_TRACKER_H_
