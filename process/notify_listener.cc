#include "ko/process/notify_listener.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "ko/os/above_stdio.h"
#include "ko/os/errno_status.h"

namespace ko {
namespace {

// How many messages in a row may be worthless before the caller gets its turn.
constexpr int kMaxSkipped = 100;

absl::StatusOr<std::string> UnguessableName() {
  uint64_t random[2];
  if (os::RetryEintr([&] { return ::getrandom(random, sizeof random, 0); }) != sizeof random) {
    return os::ErrnoStatus(errno, "getrandom");
  }
  return absl::StrCat("@ko-notify-", absl::Hex(random[0], absl::kZeroPad16),
                      absl::Hex(random[1], absl::kZeroPad16));
}

// The pid of the message's sender in this process's namespace; 0 where it has none.
pid_t SenderOf(msghdr& message) {
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS ||
      header->cmsg_len != CMSG_LEN(sizeof(ucred))) {
    return 0;
  }
  ucred credentials;
  std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
  return credentials.pid;
}

}  // namespace

absl::StatusOr<NotifyListener> NotifyListener::Create() {
  absl::StatusOr<std::string> name = UnguessableName();
  if (!name.ok()) return name.status();
  os::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return os::ErrnoStatus(errno, "socket", *name);
  if (absl::Status moved = os::MoveAboveStdio(socket); !moved.ok()) return moved;
  // Before it has a name, so that there is no message without credentials.
  const int on = 1;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return os::ErrnoStatus(errno, "setsockopt", *name);
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name->data() + 1, name->size() - 1);
  const size_t size = offsetof(sockaddr_un, sun_path) + name->size();
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) != 0) {
    return os::ErrnoStatus(errno, "bind", *name);
  }
  return NotifyListener(*std::move(name), std::move(socket));
}

std::optional<Notification> NotifyListener::Receive() {
  for (int skipped = 0; skipped < kMaxSkipped; ++skipped) {
    char text[kMaxNotificationBytes];
    iovec vector = {text, sizeof text};
    // There is room for the credentials alone, which come first: the kernel closes descriptors that do not fit,
    // and none of them is ever this process's.
    union {
      cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(ucred))];
    } control;
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    const ssize_t size =
        os::RetryEintr([&] { return ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
    if (size < 0) return std::nullopt;
    const pid_t sender = SenderOf(message);
    if (sender <= 0 || (message.msg_flags & MSG_TRUNC) != 0) continue;
    std::optional<Notification> notification = ParseNotification({text, static_cast<size_t>(size)});
    if (!notification.has_value()) continue;
    notification->pid = sender;
    return notification;
  }
  return std::nullopt;
}

}  // namespace ko
