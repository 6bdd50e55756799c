#ifndef KO_MANAGER_GROUP_RECORD_H_
#define KO_MANAGER_GROUP_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/manager/group_options.h"
#include "ko/manager/group_plan.h"
#include "ko/manager/process_record.h"
#include "ko/manager/restart_tracker.h"
#include "ko/manager/timer_queue.h"

namespace ko {

class Supervisor;

// Processes and groups that are started, restarted and stopped together: what the handles (Group, WorkerPool) and the
// Supervisor share. Plain state; the GroupKeeper alone changes it.
struct GroupRecord {
  // One of the two.
  struct Member {
    std::shared_ptr<ProcessRecord> process = nullptr;
    std::shared_ptr<GroupRecord> group = nullptr;
  };

  std::weak_ptr<Supervisor> supervisor;
  Strategy strategy = Strategy::kOneForOne;
  GroupOptions options;
  bool ordered = true;  // the start, and the stop; the workers of a pool are not
  GroupRecord* parent = nullptr;

  std::vector<Member> members;  // in their order
  GroupGoal goal = GroupGoal::kUp;
  bool active = false;   // its members may run
  bool due = true;       // of a nested one that is not: it may become so when its turn comes
  bool dragged = false;  // see ProcessRecord
  bool had_turn = false;
  RestartTracker restart;
  absl::Duration started_at = absl::ZeroDuration();
  absl::Duration restart_delay = absl::ZeroDuration();  // of the restart that it is on its way to
  std::unique_ptr<TimerQueue::Timer> timer;             // of that

  bool ended = false;
  absl::Status end;  // how; Aborted where it failed
  std::vector<absl::AnyInvocable<void(const absl::Status&)>> end_handlers;

  explicit GroupRecord(GroupOptions options) : options(std::move(options)), restart(this->options.restart) {}
};

}  // namespace ko

#endif  // KO_MANAGER_GROUP_RECORD_H_
