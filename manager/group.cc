#include "ko/manager/group.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/manager/group_record.h"
#include "ko/manager/group_wait.h"
#include "ko/manager/process_record.h"
#include "ko/manager/supervisor.h"

namespace ko {

Group Group::Create(const std::shared_ptr<Supervisor>& supervisor, GroupRecord* parent, Strategy strategy,
                    GroupOptions options) {
  auto record = std::make_shared<GroupRecord>(std::move(options));
  record->strategy = strategy;
  supervisor->AddGroup(record, parent);
  return Group(std::move(record));
}

absl::StatusOr<std::shared_ptr<Supervisor>> Group::GetSupervisor() const {
  return SupervisorOf(record_.get());
}

Process Group::Start(ProcessSpec spec) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  return supervisor.ok() ? Process((*supervisor)->Start(std::move(spec), record_.get())) : Process();
}

Process Group::Fork(ManagedBody body, ProcessOptions options) {
  return Start(MakeSpec(std::move(body), std::nullopt, std::move(options)));
}

Process Group::Spawn(ManagedBody body, RestartPolicy policy, ProcessOptions options) {
  return Start(MakeSpec(std::move(body), std::move(policy), std::move(options)));
}

Process Group::Spawn(Command command, RestartPolicy policy, ProcessOptions options) {
  return Start(MakeSpec(std::move(command), std::move(policy), std::move(options)));
}

WorkerPool Group::SpawnPool(int workers, ManagedBody body, RestartPolicy policy, ProcessOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return WorkerPool();
  return WorkerPool::Create(*supervisor, record_.get(), workers,
                            MakeSpec(std::move(body), std::move(policy), std::move(options)));
}

Group Group::AddGroup(Strategy strategy, GroupOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return Group();
  return Create(*supervisor, record_.get(), strategy, std::move(options));
}

Group& Group::OnEnd(absl::AnyInvocable<void(const absl::Status&)> handler) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return *this;
  record_->end_handlers.push_back(std::move(handler));
  if (record_->ended) (*supervisor)->CallEndHandlers(*record_);
  return *this;
}

absl::Status Group::WaitReady(absl::Duration timeout) { return AwaitGroupReady(record_, timeout); }

absl::Status Group::Wait(absl::Duration timeout) { return AwaitGroupEnd(record_, timeout); }

absl::Status Group::Stop() { return StopAndAwaitGroup(record_); }

const std::string& Group::name() const {
  static const std::string none;
  return record_ == nullptr ? none : record_->options.name;
}

size_t Group::size() const { return record_ == nullptr ? 0 : record_->members.size(); }

bool Group::IsAlive() const { return record_ != nullptr && !record_->ended; }

}  // namespace ko
