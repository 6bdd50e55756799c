#ifndef KO_PROCESS_SERVICE_NOTIFIER_H_
#define KO_PROCESS_SERVICE_NOTIFIER_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/os/unique_fd.h"

namespace ko {

// Tells the service manager how this process is doing, by the protocol of sd_notify(3), without its library.
//
//   absl::StatusOr<ko::ServiceNotifier> service = ko::ServiceNotifier::FromEnvironment();
//   if (!service.ok()) return service.status();
//   service->Ready().IgnoreError();
//
// Where no manager asked (NOTIFY_SOCKET is not set) every call is OK and does nothing, so a program needs no
// case for it.
//
// Threads: any, once it is made. Fork: a child may tell, too, where the unit's NotifyAccess= lets it. Signals:
// EINTR is retried. Crash: none. Errors: what sendmsg(2) lists, with the socket; a call sleeps while the
// manager's queue is full.
class ServiceNotifier {
 public:
  enum class Environment { kRemove, kKeep };

  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; removed from the environment, so that children do not
  // speak for this process, unless asked not to. Errors: InvalidArgument for values that make no sense,
  // Unimplemented for a socket that is neither a path nor "@name", ResourceExhausted without descriptors.
  static absl::StatusOr<ServiceNotifier> FromEnvironment(Environment environment = Environment::kRemove);

  bool IsActive() const { return socket_.valid(); }

  absl::Status Ready();      // start-up, or reloading, is finished
  absl::Status Stopping();   // shutting down
  absl::Status Reloading();  // its configuration; Ready() follows
  absl::Status Watchdog();   // alive: at least once in each watchdog_interval()
  // One line about the state, as `systemctl status` shows it.
  absl::Status Status(std::string_view text);
  absl::Status MainPid(pid_t pid);  // where that is not the process that was started
  // Any "NAME=value" lines of sd_notify(3).
  absl::Status Send(std::string_view state);

  // How long the manager waits for Watchdog() before it takes this process for hung; empty where it does not.
  // Tell it twice as often.
  std::optional<absl::Duration> watchdog_interval() const { return watchdog_interval_; }

 private:
  ServiceNotifier() = default;

  os::UniqueFd socket_;  // none: nobody asked
  std::string address_;  // as NOTIFY_SOCKET has it
  std::optional<absl::Duration> watchdog_interval_;
};

}  // namespace ko

#endif  // KO_PROCESS_SERVICE_NOTIFIER_H_
