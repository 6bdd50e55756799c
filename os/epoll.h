#ifndef KO_OS_EPOLL_H_
#define KO_OS_EPOLL_H_

#include <sys/epoll.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/os/deadline.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// An epoll(7) instance whose members are named by tokens. Threads: any. Fork: a child shares the instance
// itself, so it must only close it. Signals: waits go on after one. Crash: none.
class Epoll {
 public:
  static absl::StatusOr<Epoll> Create();

  int fd() const { return fd_.get(); }

  // Level-triggered, for reading, or for the `events` of epoll_ctl(2).
  absl::Status Add(int fd, uint64_t token, uint32_t events = EPOLLIN);
  // Other events of a member.
  absl::Status Modify(int fd, uint64_t token, uint32_t events);
  // To be called before `fd` is closed, but for one that has been told with EPOLLONESHOT: copies of it in forked children
  // would keep it a member.
  void Remove(int fd);

  // The tokens of what is ready, at most as many as there is room for; none when the deadline is over.
  absl::StatusOr<absl::Span<const uint64_t>> Wait(absl::Span<uint64_t> room, const Deadline& deadline);

 private:
  explicit Epoll(int fd) : fd_(fd) {}
  absl::Status Control(int operation, const char* name, int fd, uint64_t token, uint32_t events);

  UniqueFd fd_;
};

}  // namespace ko::os

#endif  // KO_OS_EPOLL_H_
