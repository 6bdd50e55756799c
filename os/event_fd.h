#ifndef KO_OS_EVENT_FD_H_
#define KO_OS_EVENT_FD_H_

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// An eventfd(2), a bell between processes: readable from Notify until Drain. Threads: any. Fork: both
// processes share the bell. Signals: Notify and Drain are async-signal-safe. Crash: none.
class EventFd {
 public:
  static absl::StatusOr<EventFd> Create();
  // One that another process has made and handed over.
  static EventFd Adopt(UniqueFd fd) { return EventFd(fd.release()); }

  EventFd() = default;
  int fd() const { return fd_.get(); }
  void Notify() const;
  bool Drain() const;  // whether it had been rung

 private:
  explicit EventFd(int fd) : fd_(fd) {}
  UniqueFd fd_;
};

}  // namespace ko::os

#endif  // KO_OS_EVENT_FD_H_
