#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/manager/supervisor.h"
#include "ko/manager/supervisor_tokens.h"

// How a Supervisor hears what commands tell it by sd_notify(3).

namespace ko {
namespace {

// Of one round, so that one that talks without pause does not keep the others waiting.
constexpr int kMessagesPerRound = 64;

bool Talks(const ProcessOptions& options) {
  return options.ready == ReadyWhen::kNotified ||
         options.liveness.heartbeat_deadline != absl::InfiniteDuration();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Supervisor::EnvironmentFor(const ProcessRecord& record) {
  std::vector<std::string> environment;
  const ProcessOptions& options = record.spec.options;
  if (!Talks(options)) return environment;
  if (!kernel_->notifications.has_value()) {
    absl::StatusOr<NotifyListener> listener = NotifyListener::Create();
    if (!listener.ok()) return listener.status();
    absl::Status added = kernel_->epoll.Add(listener->fd(), kNotifyToken);
    if (!added.ok()) return added;
    kernel_->notifications = *std::move(listener);
    fds_.Add(kernel_->notifications->fd());
  }
  environment.push_back(absl::StrCat("NOTIFY_SOCKET=", kernel_->notifications->address()));
  if (options.liveness.heartbeat_deadline != absl::InfiniteDuration()) {
    environment.push_back(
        absl::StrCat("WATCHDOG_USEC=", absl::ToInt64Microseconds(options.liveness.heartbeat_deadline)));
  }
  return environment;
}

int Supervisor::TakeNotifications() {
  int ready = 0;
  for (int i = 0; i < kMessagesPerRound; ++i) {
    const std::optional<Notification> told = kernel_->notifications->Receive();
    if (!told.has_value()) break;
    const std::optional<Watched> sender = FindSender(told->pid);
    if (!sender.has_value()) continue;
    const auto& [record, attempt] = *sender;
    if (told->watchdog) attempt->heartbeat_at = os::MonotonicNow();
    if (told->ready && !attempt->ready_at.has_value()) {
      BeReady(record, *attempt);
      ++ready;
    }
    if (told->watchdog_trigger) Hang(record, *attempt, "says that it hangs");
  }
  return ready;
}

// The command's own process, or one of its process group; nobody else has a say.
std::optional<Supervisor::Watched> Supervisor::FindSender(pid_t pid) const {
  const pid_t group = ::getpgid(pid);
  std::optional<Watched> found;
  for (const auto& [id, watched] : attempts_) {
    if (watched.record->spec.command == nullptr || !Talks(watched.record->spec.options)) continue;
    if (watched.attempt->pid() == pid) return watched;
    if (watched.attempt->pid() == group) found = watched;
  }
  return found;
}

}  // namespace ko
