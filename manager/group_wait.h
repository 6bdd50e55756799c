#ifndef KO_MANAGER_GROUP_WAIT_H_
#define KO_MANAGER_GROUP_WAIT_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/group_record.h"
#include "ko/manager/supervisor.h"

namespace ko {

// What the handles of groups and pools have in common. FailedPrecondition for no group (null), and for one of a manager that
// is gone or belongs to another process.
absl::StatusOr<std::shared_ptr<Supervisor>> SupervisorOf(const GroupRecord* group);

// Until all members run and are ready. Errors: DeadlineExceeded; Aborted where the group ends before; RunUntil's.
absl::Status AwaitGroupReady(Supervisor& supervisor, const std::shared_ptr<GroupRecord>& group,
                             absl::Duration timeout);
// Until the group has ended; how, or DeadlineExceeded, or RunUntil's.
absl::Status AwaitGroupEnd(Supervisor& supervisor, const std::shared_ptr<GroupRecord>& group,
                           absl::Duration timeout);

}  // namespace ko

#endif  // KO_MANAGER_GROUP_WAIT_H_
