#include "ko/manager/worker_pool.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/manager/group_wait.h"
#include "ko/manager/pool_record.h"
#include "ko/manager/supervisor.h"
#include "ko/os/deadline.h"

namespace ko {
namespace {

absl::Status CheckSize(int workers) {
  if (workers >= 0 && workers <= WorkerPool::kMaxWorkers) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("WorkerPool: ", workers, " is no number of workers from 0 to ", WorkerPool::kMaxWorkers));
}

}  // namespace

WorkerPool WorkerPool::Create(const std::shared_ptr<Supervisor>& supervisor, GroupRecord* parent, int workers,
                              ProcessSpec spec) {
  auto pool = std::make_shared<PoolRecord>();
  pool->supervisor = supervisor;
  if (spec.options.name.empty()) spec.options.name = "worker";
  GroupOptions options{.name = spec.options.name, .significant = spec.options.significant};
  spec.options.significant = false;
  pool->spec = std::move(spec);
  pool->group = std::make_shared<GroupRecord>(std::move(options));
  pool->group->ordered = false;
  if (absl::Status valid = CheckSize(workers); !valid.ok()) {
    pool->group->supervisor = supervisor;
    pool->group->ended = true;
    pool->group->end = std::move(valid);
    return WorkerPool(std::move(pool));
  }
  supervisor->AddGroup(pool->group, parent);
  pool->Resize(*supervisor, workers);
  return WorkerPool(std::move(pool));
}

std::shared_ptr<GroupRecord> WorkerPool::GetGroup() const {
  return pool_ == nullptr ? nullptr : pool_->group;
}

absl::StatusOr<std::shared_ptr<Supervisor>> WorkerPool::GetSupervisor() const {
  return SupervisorOf(GetGroup().get());
}

// The same of a pool that goes on.
absl::StatusOr<std::shared_ptr<Supervisor>> WorkerPool::GetLiving() const {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return supervisor;
  if (pool_->group->ended || pool_->group->goal == GroupGoal::kDown || (*supervisor)->shutting_down()) {
    return absl::CancelledError(absl::StrCat("WorkerPool ", pool_->group->options.name, ": it has ended"));
  }
  return supervisor;
}

absl::Status WorkerPool::Resize(int workers) {
  if (absl::Status valid = CheckSize(workers); !valid.ok()) return valid;
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetLiving();
  if (!supervisor.ok()) return supervisor.status();
  pool_->Resize(**supervisor, workers);
  return absl::OkStatus();
}

int WorkerPool::size() const { return pool_ == nullptr ? 0 : static_cast<int>(pool_->workers.size()); }

Process WorkerPool::worker(int slot) const {
  return slot >= 0 && slot < size() ? Process(pool_->workers[slot]) : Process();
}

absl::Status WorkerPool::BeginRollingRestart(RollOutOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetLiving();
  if (!supervisor.ok()) return supervisor.status();
  if (options.observe < absl::ZeroDuration() || options.observe == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError("RollOutOptions: observe is negative or infinite");
  }
  if (pool_->rolling.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("WorkerPool ", pool_->group->options.name, ": a rolling restart is under way"));
  }
  pool_->BeginRollOut(options);
  return absl::OkStatus();
}

absl::StatusOr<RollOut> WorkerPool::RollingRestart(RollOutOptions options) {
  const std::shared_ptr<PoolRecord> pool = pool_;  // a handler may destroy this handle
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return supervisor.status();
  const int outcomes = pool->outcomes;
  if (absl::Status begun = BeginRollingRestart(options); !begun.ok()) return begun;
  absl::StatusOr<bool> done = (*supervisor)
                                  ->RunUntil([&] { return pool->outcomes > outcomes; },
                                             os::Deadline::After(absl::InfiniteDuration()));
  if (pool->outcomes > outcomes) return pool->last;
  return done.status();
}

WorkerPool& WorkerPool::OnRollOut(absl::AnyInvocable<void(const RollOut&)> handler) {
  if (pool_ != nullptr) {
    pool_->handlers.push_back(std::make_shared<absl::AnyInvocable<void(const RollOut&)>>(std::move(handler)));
  }
  return *this;
}

absl::Status WorkerPool::ObeySignals(RollOutOptions options, absl::AnyInvocable<void()> before_roll_out) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetLiving();
  if (!supervisor.ok()) return supervisor.status();
  const auto on = [&](int signo, absl::AnyInvocable<void(WorkerPool&)> act) {
    return (*supervisor)
        ->signals()
        .On(signo, [pool = *this, act = std::move(act)](const SignalInfo&) mutable { act(pool); });
  };
  if (absl::Status added = on(SIGTTIN, [](WorkerPool& pool) { pool.Resize(pool.size() + 1).IgnoreError(); });
      !added.ok()) {
    return added;
  }
  absl::Status taken =
      on(SIGTTOU, [](WorkerPool& pool) { pool.Resize(std::max(pool.size() - 1, 1)).IgnoreError(); });
  if (!taken.ok()) return taken;
  return on(SIGHUP, [options, before = std::move(before_roll_out)](WorkerPool& pool) mutable {
    if (before != nullptr) before();
    pool.BeginRollingRestart(options).IgnoreError();  // one that is under way starts from what is new, too
  });
}

absl::Status WorkerPool::WaitReady(absl::Duration timeout) { return AwaitGroupReady(GetGroup(), timeout); }

absl::Status WorkerPool::Wait(absl::Duration timeout) { return AwaitGroupEnd(GetGroup(), timeout); }

absl::Status WorkerPool::Stop() { return StopAndAwaitGroup(GetGroup()); }

}  // namespace ko
