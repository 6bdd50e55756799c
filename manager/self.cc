#include "ko/manager/self.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "ko/proctitle/process_title.h"

namespace ko {

absl::StatusOr<std::unique_ptr<Self>> Self::Create(int attempt, ControlSlotRef control,
                                                   std::shared_ptr<SharedMemory> memory, os::EventFd bell) {
  absl::StatusOr<SignalDispatcher> signals = SignalDispatcher::Create();
  if (!signals.ok()) return signals.status();
  auto self = std::unique_ptr<Self>(
      new Self(attempt, std::move(control), std::move(memory), std::move(bell), *std::move(signals)));
  absl::Status on =
      self->signals_.On(SIGTERM, [self = self.get()](const SignalInfo&) { self->should_shutdown_ = true; });
  if (!on.ok()) return on;
  return self;
}

Self::Self(int attempt, ControlSlotRef control, std::shared_ptr<SharedMemory> memory, os::EventFd bell,
           SignalDispatcher signals)
    : pid_(::getpid()),
      parent_pid_(::getppid()),
      attempt_(attempt),
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
  const auto attempt = static_cast<uint32_t>(attempt_);
  // Pairs with the load in Supervisor::NoticeReady: what the body wrote before is seen by who sees it ready.
  if (control_->ready_attempt.exchange(attempt, std::memory_order_release) != attempt) bell_.Notify();
}

absl::Status Self::SetProcessTitle(std::string_view title) { return ko::SetProcessTitle(title); }

}  // namespace ko
