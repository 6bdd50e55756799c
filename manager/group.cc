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

Process Group::Fork(ManagedBody body, ProcessOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return Process();
  return Process(
      (*supervisor)->Start(MakeSpec(std::move(body), std::nullopt, std::move(options)), record_.get()));
}

Process Group::Spawn(ManagedBody body, RestartPolicy policy, ProcessOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return Process();
  return Process(
      (*supervisor)->Start(MakeSpec(std::move(body), std::move(policy), std::move(options)), record_.get()));
}

Process Group::Spawn(Command command, RestartPolicy policy, ProcessOptions options) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (!supervisor.ok()) return Process();
  return Process(
      (*supervisor)
          ->Start(MakeSpec(std::move(command), std::move(policy), std::move(options)), record_.get()));
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

absl::Status Group::WaitReady(absl::Duration timeout) {
  const std::shared_ptr<GroupRecord> record = record_;  // a handler may destroy this handle
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  return supervisor.ok() ? AwaitGroupReady(**supervisor, record, timeout) : supervisor.status();
}

absl::Status Group::Wait(absl::Duration timeout) {
  const std::shared_ptr<GroupRecord> record = record_;
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (supervisor.ok()) return AwaitGroupEnd(**supervisor, record, timeout);
  return record != nullptr && record->ended ? record->end : supervisor.status();
}

absl::Status Group::Stop() {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = GetSupervisor();
  if (supervisor.ok()) (*supervisor)->StopGroup(*record_);
  return Wait();
}

const std::string& Group::name() const {
  static const std::string none;
  return record_ == nullptr ? none : record_->options.name;
}

size_t Group::size() const { return record_ == nullptr ? 0 : record_->members.size(); }

bool Group::IsAlive() const { return record_ != nullptr && !record_->ended; }

}  // namespace ko
