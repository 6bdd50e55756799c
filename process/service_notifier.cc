#include "ko/process/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ko/os/above_stdio.h"
#include "ko/os/errno_status.h"

namespace ko {
namespace {

absl::Status NoInterval(std::string_view variable, std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("ServiceNotifier: ", variable, " is \"", text, "\""));
}

// Empty where there is no watchdog, or it is meant for another process.
absl::StatusOr<std::optional<absl::Duration>> WatchdogInterval() {
  const char* const usec_text = std::getenv("WATCHDOG_USEC");
  const char* const pid_text = std::getenv("WATCHDOG_PID");
  if (usec_text == nullptr) return std::nullopt;
  int64_t usec, pid;
  if (pid_text != nullptr) {
    if (!absl::SimpleAtoi(pid_text, &pid) || pid <= 0) return NoInterval("WATCHDOG_PID", pid_text);
    if (pid != ::getpid()) return std::nullopt;
  }
  if (!absl::SimpleAtoi(usec_text, &usec) || usec <= 0) return NoInterval("WATCHDOG_USEC", usec_text);
  return absl::Microseconds(usec);
}

// The address and its size. Errors: as FromEnvironment's.
absl::StatusOr<socklen_t> ParseAddress(std::string_view text, sockaddr_un& address) {
  if (text.size() < 2 || (text[0] != '/' && text[0] != '@')) {
    return absl::UnimplementedError(
        absl::StrCat("ServiceNotifier: NOTIFY_SOCKET is \"", text, "\", neither a path nor @name"));
  }
  if (text.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("ServiceNotifier: NOTIFY_SOCKET is too long: \"", text, "\""));
  }
  address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, text.data(), text.size());
  size_t size = offsetof(sockaddr_un, sun_path) + text.size();
  if (text[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++size;  // the NUL byte
  }
  return static_cast<socklen_t>(size);
}

}  // namespace

absl::StatusOr<ServiceNotifier> ServiceNotifier::FromEnvironment(Environment environment) {
  ServiceNotifier notifier;
  if (const char* text = std::getenv("NOTIFY_SOCKET"); text != nullptr) notifier.address_ = text;
  absl::StatusOr<std::optional<absl::Duration>> interval = WatchdogInterval();
  if (environment == Environment::kRemove) {
    for (const char* variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(variable);
  }
  if (!interval.ok()) return interval.status();
  if (notifier.address_.empty()) return notifier;

  sockaddr_un address;
  if (absl::StatusOr<socklen_t> size = ParseAddress(notifier.address_, address); !size.ok()) {
    return size.status();
  }
  notifier.watchdog_interval_ = *interval;
  notifier.socket_ = os::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!notifier.socket_.valid()) return os::ErrnoStatus(errno, "socket", notifier.address_);
  if (absl::Status moved = os::MoveAboveStdio(notifier.socket_); !moved.ok()) return moved;
  return notifier;
}

absl::Status ServiceNotifier::Ready() { return Send("READY=1"); }

absl::Status ServiceNotifier::Stopping() { return Send("STOPPING=1"); }

absl::Status ServiceNotifier::Reloading() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // by which the manager tells it from an earlier one
  return Send(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                           absl::ToInt64Microseconds(absl::DurationFromTimespec(now))));
}

absl::Status ServiceNotifier::Watchdog() { return Send("WATCHDOG=1"); }

absl::Status ServiceNotifier::Status(std::string_view text) {
  if (text.find('\n') != std::string_view::npos) {
    return absl::InvalidArgumentError("ServiceNotifier: a status has more than one line");
  }
  return Send(absl::StrCat("STATUS=", text));
}

absl::Status ServiceNotifier::MainPid(pid_t pid) {
  if (pid <= 0) return absl::InvalidArgumentError(absl::StrCat("ServiceNotifier: ", pid, " is no pid"));
  return Send(absl::StrCat("MAINPID=", pid));
}

absl::Status ServiceNotifier::Send(std::string_view state) {
  if (state.empty()) return absl::InvalidArgumentError("ServiceNotifier: nothing to tell");
  if (!IsActive()) return absl::OkStatus();
  // Not connected for good: the manager may have been executed anew, with a new socket at the same address.
  sockaddr_un address;
  absl::StatusOr<socklen_t> size = ParseAddress(address_, address);
  if (!size.ok()) return size.status();
  const ssize_t sent = os::RetryEintr([&] {
    return ::sendto(socket_.get(), state.data(), state.size(), MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address), *size);
  });
  return sent >= 0 ? absl::OkStatus() : os::ErrnoStatus(errno, "sendto", address_);
}

}  // namespace ko
