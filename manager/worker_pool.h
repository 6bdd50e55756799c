#ifndef KO_MANAGER_WORKER_POOL_H_
#define KO_MANAGER_WORKER_POOL_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/manager/process.h"
#include "ko/manager/roll_out.h"

namespace ko {

struct GroupRecord;
struct PoolRecord;
struct ProcessSpec;
class Supervisor;

// Workers with the same body, each in a slot (Self::slot) whose process is kept alive: a prefork server, the consumers of a
// queue.
//
//   ko::WorkerPool pool = manager.SpawnPool(8, [&](ko::Self& self) { Serve(listener, self); });
//   pool.ObeySignals();   // SIGTTIN, SIGTTOU: one more, one less; SIGHUP: a rolling restart
//   manager.Wait();
//
// Workers start and stop side by side, and the end of one means nothing to the others. One that ends for good, by its policy
// or by Process::Stop, leaves its slot empty until the next Resize.
//
// A handle; copies are handles of the same pool, and dropping them changes nothing.
//
// Threads: the manager's. Fork: a child's copies are of no use. Signals: see ObeySignals. Crash: all die with the manager.
// Errors: FailedPrecondition for one of a manager that is gone, and outside the manager's process; Cancelled where a handler
// destroys the manager during a wait; others as listed.
class WorkerPool {
 public:
  // More than the kernel's default limit of processes would let one user have.
  static constexpr int kMaxWorkers = 100'000;

  WorkerPool() = default;

  // Workers are added, also in empty slots, or the last ones are asked to end, by their own plan. Waits for neither. Errors:
  // InvalidArgument for a number that is negative or greater than kMaxWorkers; Cancelled where the pool has ended.
  absl::Status Resize(int workers);
  int size() const;  // slots

  // The handle of a slot's process, the same over restarts. One of no process where there is no such slot.
  Process worker(int slot) const;

  // Replaces every worker, one after the other: the new one is started, is ready (ProcessOptions::ready) and lives for
  // `options.observe`; then the old one is asked to end, and when it has, it is the next slot's turn. A new one that fails
  // ends the roll-out: the old one of its slot, and those of the slots after it, go on. Workers start from what the manager
  // is now: load a new configuration before. Errors: Cancelled where the pool has ended; FailedPrecondition while another is
  // under way.
  absl::Status BeginRollingRestart(RollOutOptions options = {});
  // The same, and waits for the outcome.
  absl::StatusOr<RollOut> RollingRestart(RollOutOptions options = {});
  // `handler` is told the outcome of each, whoever began it.
  WorkerPool& OnRollOut(absl::AnyInvocable<void(const RollOut&)> handler);

  // From now on SIGTTIN adds a worker, SIGTTOU takes one away (not the last), and SIGHUP begins a rolling restart, as in the
  // prefork servers of the field. `before_roll_out` runs at each SIGHUP before, to load what is new.
  absl::Status ObeySignals(RollOutOptions options = {}, absl::AnyInvocable<void()> before_roll_out = nullptr);

  // Waits until every worker runs and is ready. Errors: DeadlineExceeded; Aborted where the pool ends before.
  absl::Status WaitReady(absl::Duration timeout = absl::InfiniteDuration());
  // Waits until every worker has ended for good. Errors: DeadlineExceeded.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration());
  // Asks all to end for good, and waits for that.
  absl::Status Stop();

 private:
  friend class Group;
  friend class ProcessManager;
  explicit WorkerPool(std::shared_ptr<PoolRecord> pool) : pool_(std::move(pool)) {}
  static WorkerPool Create(const std::shared_ptr<Supervisor>& supervisor, GroupRecord* parent, int workers,
                           ProcessSpec spec);

  std::shared_ptr<GroupRecord> GetGroup() const;
  absl::StatusOr<std::shared_ptr<Supervisor>> GetSupervisor() const;
  absl::StatusOr<std::shared_ptr<Supervisor>> GetLiving() const;

  std::shared_ptr<PoolRecord> pool_;
};

}  // namespace ko

#endif  // KO_MANAGER_WORKER_POOL_H_
