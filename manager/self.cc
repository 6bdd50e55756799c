#include "ko/manager/self.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "ko/os/deadline.h"
#include "ko/proctitle/process_title.h"

namespace ko {

absl::StatusOr<std::unique_ptr<Self>> Self::Create(int attempt, int slot, int64_t max_tasks,
                                                   ControlSlotRef control,
                                                   std::shared_ptr<ProcessMemory> memory, os::EventFd bell) {
  absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
  if (!signals.ok()) return signals.status();
  auto self = std::unique_ptr<Self>(new Self(attempt, slot, max_tasks, std::move(control), std::move(memory),
                                             std::move(bell), *std::move(signals)));
  absl::Status on =
      self->signals_.On(SIGTERM, [self = self.get()](const SignalInfo&) { self->should_shutdown_ = true; });
  if (!on.ok()) return on;
  return self;
}

Self::Self(int attempt, int slot, int64_t max_tasks, ControlSlotRef control,
           std::shared_ptr<ProcessMemory> memory, os::EventFd bell, SignalDispatcher signals)
    : pid_(::getpid()),
      parent_pid_(::getppid()),
      attempt_(attempt),
      slot_(slot),
      max_tasks_(max_tasks),
      control_(std::move(control)),
      memory_(std::move(memory)),
      bell_(std::move(bell)),
      signals_(std::move(signals)) {}

bool Self::ShouldShutdown() {
  signals_.Dispatch().IgnoreError();
  return should_shutdown_;
}

absl::StatusOr<int> Self::Dispatch() { return signals_.Dispatch(); }

bool Self::Sleep(absl::Duration duration) {
  if (should_shutdown_) return false;
  absl::StatusOr<int> dispatched = signals_.Wait(duration);
  return dispatched.ok() && *dispatched == 0;
}

void Self::NotifyReady() {
  // Pairs with the load in Supervisor::NoticeReady: what the body wrote before is seen by who sees it ready.
  if (control_->ready.exchange(1, std::memory_order_release) == 0) bell_.Notify();
}

// The manager reads these three when a deadline of them may be over: no call to it.
void Self::Heartbeat() {
  control_->heartbeat_ns.store(absl::ToInt64Nanoseconds(os::MonotonicNow()), std::memory_order_release);
}

void Self::BeginTask() {
  control_->task_ns.store(absl::ToInt64Nanoseconds(os::MonotonicNow()), std::memory_order_release);
}

void Self::EndTask() {
  control_->task_ns.store(0, std::memory_order_release);
  if (control_->tasks.fetch_add(1, std::memory_order_release) + 1 == max_tasks_) bell_.Notify();
}

absl::Status Self::SetProcessTitle(std::string_view title) { return ko::SetProcessTitle(title); }

}  // namespace ko
