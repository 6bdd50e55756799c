#include "ko/os/fd_message.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ko/os/above_stdio.h"
#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"

namespace ko::os {
namespace {

constexpr size_t kMaxParts = 4;

// Room for the descriptors of one message.
union ControlBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(kMaxMessageFds * sizeof(int))];
};

}  // namespace

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MessageSocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoStatus(errno, "socketpair");
  std::pair<UniqueFd, UniqueFd> ends(fds[0], fds[1]);
  if (absl::Status moved = MoveAboveStdio(ends.first); !moved.ok()) return moved;
  if (absl::Status moved = MoveAboveStdio(ends.second); !moved.ok()) return moved;
  return ends;
}

int SendMessage(int socket, absl::Span<const std::string_view> parts, absl::Span<const int> fds, bool block) {
  if (parts.size() > kMaxParts || fds.size() > kMaxMessageFds) return EINVAL;
  std::array<iovec, kMaxParts> vectors;
  for (size_t i = 0; i < parts.size(); ++i) {
    vectors[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
  }
  msghdr message = {};
  message.msg_iov = vectors.data();
  message.msg_iovlen = parts.size();
  ControlBuffer control;
  if (!fds.empty()) {
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(&control.header), fds.data(), fds.size() * sizeof(int));
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  }
  const int flags = MSG_NOSIGNAL | (block ? 0 : MSG_DONTWAIT);
  return RetryEintr([&] { return ::sendmsg(socket, &message, flags); }) >= 0 ? 0 : errno;
}

KO_CHILD_CODE ReceivedMessage ReceiveMessage(int socket, void* buffer, size_t bytes, bool block) {
  iovec vector = {buffer, bytes};
  ControlBuffer control;
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  const int flags = MSG_CMSG_CLOEXEC | (block ? 0 : MSG_DONTWAIT);
  ReceivedMessage received;
  received.bytes = RetryEintr([&] { return ::recvmsg(socket, &message, flags); });
  if (received.bytes < 0) {
    received.error_number = errno;
    return received;
  }
  received.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  received.fds_missing = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
      if (!MoveAboveStdio(received.fds.back()).ok()) received.fds_missing = true;
    }
  }
  return received;
}

KO_CHILD_CODE Readiness AwaitReadable(int socket, int other, absl::Duration timeout) {
  pollfd fds[2] = {{socket, POLLIN, 0}, {other, POLLIN, 0}};
  timespec time = {};
  if (timeout > absl::ZeroDuration() && timeout != absl::InfiniteDuration()) time = absl::ToTimespec(timeout);
  const timespec* const longest = timeout == absl::InfiniteDuration() ? nullptr : &time;
  RetryEintr([&] { return ::ppoll(fds, 2, longest, nullptr); });
  return {fds[0].revents != 0, fds[1].revents != 0};
}

}  // namespace ko::os
