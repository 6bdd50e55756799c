#include "ko/os/epoll.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko::os {

absl::StatusOr<Epoll> Epoll::Create() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "epoll_create1");
  return Epoll(fd);
}

absl::Status Epoll::Add(int fd, uint64_t token, uint32_t events) {
  return Control(EPOLL_CTL_ADD, "epoll_ctl(EPOLL_CTL_ADD)", fd, token, events);
}

absl::Status Epoll::Modify(int fd, uint64_t token, uint32_t events) {
  return Control(EPOLL_CTL_MOD, "epoll_ctl(EPOLL_CTL_MOD)", fd, token, events);
}

absl::Status Epoll::Control(int operation, const char* name, int fd, uint64_t token, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = token;
  if (::epoll_ctl(fd_.get(), operation, fd, &event) != 0)
    return ErrnoStatus(errno, name, absl::StrCat("fd ", fd));
  return absl::OkStatus();
}

void Epoll::Remove(int fd) { ::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

absl::StatusOr<absl::Span<const uint64_t>> Epoll::Wait(absl::Span<uint64_t> room, const Deadline& deadline) {
  std::array<epoll_event, 64> events;
  const int max_events = static_cast<int>(std::min(events.size(), room.size()));
  for (;;) {
    timespec storage;
    const int count =
        ::epoll_pwait2(fd_.get(), events.data(), max_events, deadline.RemainingTimespec(storage), nullptr);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "epoll_pwait2");
    for (int i = 0; i < count; ++i) room[i] = events[i].data.u64;
    return absl::Span<const uint64_t>(room.data(), static_cast<size_t>(count));
  }
}

}  // namespace ko::os
