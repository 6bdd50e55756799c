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

// Each takes its own reference: a handler may destroy the handle. Errors: SupervisorOf's and RunUntil's, and as said.

// Until all members run and are ready. Errors: DeadlineExceeded; Aborted where the group ends before.
absl::Status AwaitGroupReady(std::shared_ptr<GroupRecord> group, absl::Duration timeout);
// Until the group has ended; how, also where it had before its manager went, or DeadlineExceeded.
absl::Status AwaitGroupEnd(std::shared_ptr<GroupRecord> group, absl::Duration timeout);
// Asks it to end, and waits for that.
absl::Status StopAndAwaitGroup(std::shared_ptr<GroupRecord> group);

}  // namespace ko

#endif  // KO_MANAGER_GROUP_WAIT_H_
