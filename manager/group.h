#ifndef KO_MANAGER_GROUP_H_
#define KO_MANAGER_GROUP_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/group_options.h"
#include "ko/manager/group_plan.h"
#include "ko/manager/managed_body.h"
#include "ko/manager/process.h"
#include "ko/manager/process_options.h"
#include "ko/manager/restart_policy.h"
#include "ko/manager/worker_pool.h"
#include "ko/process/command.h"

namespace ko {

struct GroupRecord;
struct ProcessSpec;
class Supervisor;

// Processes, and groups of them, that belong together: started one after the other, each when the one before is ready
// (ProcessOptions::ready), stopped in reverse order, each when the one after it has ended, and restarted as the Strategy says
// (a tree of Erlang's supervisors).
//
//   ko::Group web = manager.Group(ko::Strategy::kRestForOne, {.name = "web"});
//   web.Spawn(Database, {}, {.name = "database", .ready = ko::ReadyWhen::kNotified});
//   web.Spawn(Server, {}, {.name = "server"});   // starts when the database is ready, restarts when it has died
//
// The end of a member after which its RestartPolicy starts it again is the end that a Strategy is about; the others are
// stopped at once, and started again when the delay is over. A member that has ended for good by its policy (a success under
// kOnFailure, say) or by Process::Stop stays down and drags nobody; where it is significant it may end the group
// (GroupOptions::end_when). A member that is given up on ends a group whose members are tied to each other; one whose limit
// escalates, any group: GroupOptions::restart says what follows.
//
// A handle; copies are handles of the same group, and dropping them changes nothing. The group ends for good when all its
// members have, or when it is stopped; nothing can be added then (a start is refused with Cancelled).
//
// Threads: the manager's. Fork: a child's copies are of no use. Signals: as the manager's. Crash: all die with the manager.
// Errors: FailedPrecondition for one of a manager that is gone, and outside the manager's process; Cancelled where a handler
// destroys the manager during a wait; others as listed.
class Group {
 public:
  Group() = default;

  // As ProcessManager's; each is the last of the group, for now.
  Process Fork(ManagedBody body, ProcessOptions options = {});
  Process Spawn(ManagedBody body, RestartPolicy policy = {}, ProcessOptions options = {});
  Process Spawn(Command command, RestartPolicy policy = {}, ProcessOptions options = {});
  WorkerPool SpawnPool(int workers, ManagedBody body,
                       RestartPolicy policy = {.when = RestartPolicy::When::kAlways},
                       ProcessOptions options = {});
  // A group that is a member of this one: it is ready when all its members are.
  Group AddGroup(Strategy strategy, GroupOptions options = {});

  // `handler` runs when the group has ended for good: OK, or Aborted with the reason where it failed.
  Group& OnEnd(absl::AnyInvocable<void(const absl::Status&)> handler);

  // Waits until all members run and are ready. Errors: DeadlineExceeded; Aborted where the group ends before.
  absl::Status WaitReady(absl::Duration timeout = absl::InfiniteDuration());
  // Waits until the group has ended for good; how. Errors: DeadlineExceeded. OK at once where nothing was ever added.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration());
  // Stops all members in reverse order, each by its own plan, and waits for the end.
  absl::Status Stop();

  const std::string& name() const;
  size_t size() const;   // members, a group in it as one; those that have ended count until the group has
  bool IsAlive() const;  // it has not ended

 private:
  friend class ProcessManager;
  explicit Group(std::shared_ptr<GroupRecord> record) : record_(std::move(record)) {}
  static Group Create(const std::shared_ptr<Supervisor>& supervisor, GroupRecord* parent, Strategy strategy,
                      GroupOptions options);

  absl::StatusOr<std::shared_ptr<Supervisor>> GetSupervisor() const;
  Process Start(ProcessSpec spec);

  std::shared_ptr<GroupRecord> record_;
};

}  // namespace ko

#endif  // KO_MANAGER_GROUP_H_
