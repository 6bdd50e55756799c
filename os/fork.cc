#include "ko/os/fork.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "ko/os/errno_status.h"
#include "ko/os/pidfd.h"

namespace ko::os {
namespace {

// Whether the kernel would reap a child by itself the moment it ends, after which its pid could name another process.
bool ChildrenAreReapedByTheKernel() {
  struct sigaction action;
  return ::sigaction(SIGCHLD, nullptr, &action) == 0 &&
         (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0);
}

// A pipe that holds the child back until the parent has said that it may go on.
class Gate {
 public:
  static absl::StatusOr<Gate> Create() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
    Gate gate;
    gate.read_ = UniqueFd(fds[0]);
    gate.write_ = UniqueFd(fds[1]);
    return gate;
  }
  void Open() {
    const char byte = 1;
    RetryEintr([&] { return ::write(write_.get(), &byte, 1); });
  }
  bool Pass() {
    write_.reset();
    char byte;
    return RetryEintr([&] { return ::read(read_.get(), &byte, 1); }) == 1;
  }

 private:
  UniqueFd read_, write_;
};

absl::StatusOr<ForkedProcess> ForkBehindGate() {
  absl::StatusOr<Gate> gate = Gate::Create();
  if (!gate.ok()) return gate.status();
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    if (!gate->Pass()) ::_exit(127);  // the parent could not open the pidfd, or has died
    return ForkedProcess{0, UniqueFd()};
  }
  absl::StatusOr<UniqueFd> pidfd = OpenPidfd(pid);
  if (!pidfd.ok()) {
    gate = absl::CancelledError();  // closes it: the child leaves
    ::waitpid(pid, nullptr, __WALL);
    return pidfd.status();
  }
  gate->Open();
  return ForkedProcess{pid, *std::move(pidfd)};
}

}  // namespace

absl::StatusOr<ForkedProcess> ForkWithPidfd() {
  if (ChildrenAreReapedByTheKernel()) return ForkBehindGate();

  // An fd held until the pidfd takes its place: without one to spare there is no fork at all.
  UniqueFd reserved(::open("/", O_PATH | O_CLOEXEC));
  if (!reserved.valid()) return ErrnoStatus(errno, "fork", "an fd for the child");
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  reserved.reset();
  if (pid == 0) return ForkedProcess{0, UniqueFd()};
  absl::StatusOr<UniqueFd> pidfd = OpenPidfd(pid);
  if (!pidfd.ok()) {  // another thread was quicker, or there is no pidfd_open on this system
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, __WALL);
    return pidfd.status();
  }
  return ForkedProcess{pid, *std::move(pidfd)};
}

}  // namespace ko::os
