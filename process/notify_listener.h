#ifndef KO_PROCESS_NOTIFY_LISTENER_H_
#define KO_PROCESS_NOTIFY_LISTENER_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"
#include "ko/process/notification.h"

namespace ko {

// The manager's end of sd_notify(3): what programs tell that find address() as NOTIFY_SOCKET in their
// environment. ServiceNotifier is the other end.
//
//   absl::StatusOr<ko::NotifyListener> listener = ko::NotifyListener::Create();
//   if (!listener.ok()) return listener.status();
//   command.env->push_back("NOTIFY_SOCKET=" + listener->address());
//   ...
//   while (std::optional<ko::Notification> told = listener->Receive()) ...
//
// The socket's name cannot be guessed, but whoever has read it (in /proc/PID/environ, say) can send: look at
// Notification::pid, which the kernel vouches for. It may have ended by the time its message is read.
//
// Threads: one at a time. Fork: a child inherits the socket and would take messages away from its parent; it
// is closed on exec. Signals: none. Crash: the socket is gone with the last process that has it. Errors: of
// Create alone: ResourceExhausted without descriptors.
class NotifyListener {
 public:
  static absl::StatusOr<NotifyListener> Create();

  // A moved-from one has nothing to tell.
  NotifyListener(NotifyListener&& other) noexcept
      : address_(std::exchange(other.address_, "")), socket_(std::move(other.socket_)) {}
  NotifyListener& operator=(NotifyListener&& other) noexcept {
    address_ = std::exchange(other.address_, "");
    socket_ = std::move(other.socket_);
    return *this;
  }

  // "@" and the socket's name.
  const std::string& address() const { return address_; }

  // Readable while there are messages.
  int fd() const { return socket_.get(); }

  // The next message; never sleeps. Those that are none (see ParseNotification), and those of processes that
  // this one has no pid for, are skipped; empty where nothing is left, or after many such in a row: then fd()
  // is still readable. Descriptors that come with a message are not let in.
  std::optional<Notification> Receive();

 private:
  NotifyListener(std::string address, os::UniqueFd socket)
      : address_(std::move(address)), socket_(std::move(socket)) {}

  std::string address_;
  os::UniqueFd socket_;
};

}  // namespace ko

#endif  // KO_PROCESS_NOTIFY_LISTENER_H_
