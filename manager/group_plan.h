#ifndef KO_MANAGER_GROUP_PLAN_H_
#define KO_MANAGER_GROUP_PLAN_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace ko {

// What the end of one member of a Group, after which it is to be started again, means to the others. (The strategies of
// Erlang's supervisors.)
enum class Strategy {
  kOneForOne,   // nothing
  kOneForAll,   // all are stopped, in reverse order, and started again, in order
  kRestForOne,  // those that were started after it, likewise
};

// What a group is on its way to.
enum class GroupGoal {
  kUp,
  kRestart,  // down, to come up again afterwards
  kDown,     // for good
};

struct MemberView {
  enum class State {
    kDown,      // does not run; not yet, or not for the moment
    kStarting,  // runs, and is not ready
    kUp,
    kStopping,
    kEnded,  // for good
  };
  State state = State::kDown;
  bool due = false;      // of one that is down: nothing but its turn is waited for
  bool in_turn = false;  // it starts only when all before it are up or have ended
  bool dragged = false;  // it is to go down before any other starts
};

struct GroupActions {
  std::vector<size_t> stop = {};  // of a group that goes down for good: one that is down ends
  std::vector<size_t> start = {};

  bool empty() const { return stop.empty() && start.empty(); }
};

// What is to be done now about the members, given in their order. `one_by_one`: a member is stopped when all after it are
// down. Pure; to be asked again whenever something has changed.
GroupActions PlanGroup(GroupGoal goal, bool one_by_one, absl::Span<const MemberView> members);

// Which of `count` members the end of `failed` drags down, itself not among them.
std::vector<size_t> DraggedBy(Strategy strategy, size_t failed, size_t count);

}  // namespace ko

#endif  // KO_MANAGER_GROUP_PLAN_H_
