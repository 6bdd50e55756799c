#ifndef KO_MANAGER_GROUP_OPTIONS_H_
#define KO_MANAGER_GROUP_OPTIONS_H_

#include <string>

#include "ko/manager/restart_policy.h"

namespace ko {

// What a Group is to be, beside its Strategy.
struct GroupOptions {
  // When the end of significant members (ProcessOptions::significant, and `significant` below), whose policies do not start
  // them again, ends the group: all the others are stopped then, in reverse order.
  enum class EndWhen {
    kAllEnded,        // only when every member, significant or not, has ended
    kAnySignificant,  // at the first
    kAllSignificant,  // at the last
  };

  // For events and messages; "group 2" where empty.
  std::string name = {};
  EndWhen end_when = EndWhen::kAllEnded;
  // How the group as a whole is started again when it has failed: when a member's limit of restarts escalates
  // (RestartPolicy::AtLimit::kEscalate), or is given up on while others are tied to it (any strategy but kOneForOne). By
  // default it ends. Where this escalates in its turn, the group around this one has failed, or, where there is none, the
  // manager shuts down.
  RestartPolicy restart = {.when = RestartPolicy::When::kNever};
  // Of a group in a group.
  bool significant = false;
};

}  // namespace ko

#endif  // KO_MANAGER_GROUP_OPTIONS_H_
