#include "ko/manager/process_manager.h"

#include <optional>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/strings/str_cat.h"
#include "ko/manager/supervisor.h"
#include "ko/os/deadline.h"
#include "ko/proctitle/process_title.h"

namespace ko {

ProcessManager::ProcessManager() : supervisor_(Supervisor::Make()) {}

// A moved-from manager is as new.
ProcessManager::ProcessManager(ProcessManager&& other) noexcept
    : supervisor_(std::exchange(other.supervisor_, Supervisor::Make())),
      fork_server_(std::exchange(other.fork_server_, std::nullopt)) {}

ProcessManager& ProcessManager::operator=(ProcessManager&& other) noexcept {
  if (this == &other) return *this;
  supervisor_->Close();
  supervisor_ = std::exchange(other.supervisor_, Supervisor::Make());
  fork_server_ = std::exchange(other.fork_server_, std::nullopt);
  return *this;
}

ProcessManager::~ProcessManager() { supervisor_->Close(); }

const std::shared_ptr<Supervisor>& ProcessManager::supervisor() {
  if (!supervisor_->IsOwnedByThisProcess()) {
    supervisor_->Close();
    supervisor_ = Supervisor::Make();
  }
  return supervisor_;
}

Process ProcessManager::Fork(ManagedBody body, ProcessOptions options) {
  return Process(supervisor()->Start(MakeSpec(std::move(body), std::nullopt, std::move(options))));
}

Process ProcessManager::Spawn(ManagedBody body, RestartPolicy policy, ProcessOptions options) {
  return Process(supervisor()->Start(MakeSpec(std::move(body), std::move(policy), std::move(options))));
}

Process ProcessManager::Spawn(Command command, RestartPolicy policy, ProcessOptions options) {
  return Process(supervisor()->Start(MakeSpec(std::move(command), std::move(policy), std::move(options))));
}

ko::Group ProcessManager::Group(Strategy strategy, GroupOptions options) {
  return ko::Group::Create(supervisor(), nullptr, strategy, std::move(options));
}

WorkerPool ProcessManager::SpawnPool(int workers, ManagedBody body, RestartPolicy policy,
                                     ProcessOptions options) {
  return WorkerPool::Create(supervisor(), nullptr, workers,
                            MakeSpec(std::move(body), std::move(policy), std::move(options)));
}

absl::Status ProcessManager::Wait(absl::Duration timeout) {
  const std::shared_ptr<Supervisor> supervisor =
      this->supervisor();  // a handler may destroy or move this manager
  const auto nothing_left = [&] { return supervisor->size() == 0; };
  absl::StatusOr<bool> done = supervisor->RunUntil(nothing_left, os::Deadline::After(timeout));
  if (!done.ok()) return done.status();
  if (*done) return supervisor->escalation();
  return absl::DeadlineExceededError(absl::StrCat(
      "ProcessManager: ", supervisor->size(), " processes are left after ", absl::FormatDuration(timeout)));
}

absl::StatusOr<int> ProcessManager::Dispatch(absl::Duration timeout) {
  return supervisor()->RunOnce(os::Deadline::After(timeout));
}

int ProcessManager::poll_fd() { return supervisor()->EnsureOpen().ok() ? supervisor()->poll_fd() : -1; }

void ProcessManager::OnEvent(absl::AnyInvocable<void(const ProcessEvent&)> handler) {
  supervisor()->AddEventHandler(std::move(handler));
}

size_t ProcessManager::size() const { return supervisor_->IsOwnedByThisProcess() ? supervisor_->size() : 0; }

void ProcessManager::OnShutdown(absl::AnyInvocable<void()> handler) {
  supervisor()->AddShutdownHandler(std::move(handler));
}

absl::Status ProcessManager::Shutdown(StopPolicy policy) {
  if (absl::Status valid = Supervisor::CheckSignal(policy.signal); !valid.ok()) return valid;
  supervisor()->BeginShutdown(StopPlan::From(policy));
  return Wait();
}

absl::Status ProcessManager::Shutdown() {
  supervisor()->BeginShutdown(std::nullopt);
  return Wait();
}

bool ProcessManager::IsShuttingDown() const {
  return supervisor_->IsOwnedByThisProcess() && supervisor_->shutting_down();
}

void ProcessManager::SetStopPolicy(StopPolicy policy) { supervisor()->SetStopPolicy(policy); }

absl::StatusOr<DaemonLaunch> ProcessManager::Daemonize(DaemonOptions options) {
  if (HasAlive()) {
    return absl::FailedPreconditionError(
        absl::StrCat("ProcessManager: ", size(), " children are alive, which the daemon could not wait for"));
  }
  const std::shared_ptr<Supervisor> supervisor = this->supervisor();  // which becomes the daemon's
  supervisor->ReleaseKernelSide();
  absl::StatusOr<DaemonLaunch> launch = ko::Daemonize(std::move(options));
  if (launch.ok()) supervisor->AdoptCurrentProcess();
  supervisor->EnsureOpen()
      .IgnoreError();  // a SIGTERM is heard from now on; the next call tells what is wrong
  return launch;
}

absl::Status ProcessManager::SetProcessTitle(std::string_view title) { return ko::SetProcessTitle(title); }

SignalDispatcher& ProcessManager::signals() {
  const absl::Status open = supervisor()->EnsureOpen();
  ABSL_CHECK(open.ok()) << "ProcessManager::signals: " << open;
  return supervisor()->signals();
}

}  // namespace ko
