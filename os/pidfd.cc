#include "ko/os/pidfd.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "ko/os/errno_status.h"

namespace ko::os {
namespace {

constexpr int kIdIsPidfd = 3;  // P_PIDFD of waitid(2), which older C libraries do not name

// PIDFD_GET_INFO of Linux 6.13 with the exit code of 6.15 (include/uapi/linux/pidfd.h), declared here because
// the kernel's headers on the machine may be older than its kernel.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;  // as wait(2) gives it
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kPidfdInfoExit = 1u << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

ChildEnd FromWaitStatus(int status) {
  if (WIFEXITED(status)) return {ChildEnd::Kind::kExited, WEXITSTATUS(status), false, {}};
  return {ChildEnd::Kind::kSignaled, WTERMSIG(status), static_cast<bool>(WCOREDUMP(status)), {}};
}

absl::Status NotAChild() {
  return absl::FailedPreconditionError("waitid: not a child of this process [ECHILD]");
}

// Whether the process has lost its entry in the kernel's table; Linux before 6.9 does not tell.
bool IsReleased(int pidfd, bool block) {
  pollfd poll_fd = {pidfd, 0, 0};  // POLLHUP needs no asking
  return RetryEintr([&] { return ::poll(&poll_fd, 1, block ? -1 : 0); }) == 1;
}

// The end of a child whose status somebody else has collected, by waitpid(-1) say or by ignoring SIGCHLD.
absl::StatusOr<std::optional<ChildEnd>> EndOfReapedElsewhere(int pidfd, bool block) {
  if (!HasEnded(pidfd)) return NotAChild();
  for (;;) {
    const bool released =
        IsReleased(pidfd, /*block=*/false);  // asked first: from then on the answer does not change
    PidfdInfo info = {};
    info.mask = kPidfdInfoExit;
    const bool told = ::ioctl(pidfd, kPidfdGetInfo, &info) == 0;
    if (told && (info.mask & kPidfdInfoExit) != 0) return FromWaitStatus(info.exit_code);
    if (released || (!told && errno != ESRCH)) return ChildEnd{ChildEnd::Kind::kUnknown, 0, false, {}};
    if (told && info.ppid != 0 && static_cast<pid_t>(info.ppid) != ::getpid()) return NotAChild();
    // Somebody is reaping it at this moment: waitid denies it from the first step of that, the kernel has its
    // status from the last one on.
    if (!block) return std::nullopt;
    IsReleased(pidfd, /*block=*/true);
  }
}

bool IsUnreapedChild(idtype_t kind, id_t id) {
  siginfo_t info;
  return ::waitid(kind, id, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

}  // namespace

UniqueFd OpenPidfd(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

bool HasEnded(int pidfd) {
  pollfd poll_fd = {pidfd, POLLIN, 0};
  return ::poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLIN | POLLHUP)) != 0;
}

int SendSignal(int pidfd, int signo) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signo, nullptr, 0) == 0 ? 0 : errno;
}

absl::StatusOr<std::optional<ChildEnd>> Reap(int pidfd, bool block) {
  siginfo_t info = {};
  rusage usage = {};
  const int options = WEXITED | __WALL | (block ? 0 : WNOHANG);
  const long result =
      RetryEintr([&] { return ::syscall(SYS_waitid, kIdIsPidfd, pidfd, &info, options, &usage); });
  if (result != 0) {
    // ECHILD: collected by other code of this process, or a child of another process.
    return errno == ECHILD ? EndOfReapedElsewhere(pidfd, block) : ErrnoStatus(errno, "waitid");
  }
  if (info.si_pid == 0) return std::nullopt;
  const bool exited = info.si_code == CLD_EXITED;
  return ChildEnd{exited ? ChildEnd::Kind::kExited : ChildEnd::Kind::kSignaled, info.si_status,
                  info.si_code == CLD_DUMPED, usage};
}

bool IsOwnChild(int pidfd) { return IsUnreapedChild(P_PIDFD, static_cast<id_t>(pidfd)); }

void EndChild(pid_t pid) {
  // A child that has not been reaped keeps its pid.
  if (!IsUnreapedChild(P_PID, static_cast<id_t>(pid))) return;
  ::kill(pid, SIGKILL);
  siginfo_t info;
  RetryEintr([&] { return ::waitid(P_PID, pid, &info, WEXITED | __WALL); });
}

absl::StatusOr<bool> AwaitEnd(int pidfd, const Deadline& deadline) {
  for (;;) {
    pollfd poll_fd = {pidfd, POLLIN, 0};
    timespec storage;
    const int ready = ::ppoll(&poll_fd, 1, deadline.RemainingTimespec(storage), nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return ErrnoStatus(errno, "ppoll", "pidfd");
  }
}

}  // namespace ko::os
