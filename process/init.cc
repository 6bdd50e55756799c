#include "ko/process/init.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "ko/os/errno_status.h"
#include "ko/os/orphans.h"
#include "ko/os/threads.h"
#include "ko/os/unique_fd.h"
#include "ko/process/child.h"
#include "ko/process/exec.h"
#include "ko/process/fork.h"

namespace ko {
namespace {

// All but the faults, which cannot wait, and what a background process gets for touching the terminal.
sigset_t SignalsToRead() {
  sigset_t set;
  ::sigfillset(&set);
  for (int signo : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGTTIN, SIGTTOU}) {
    ::sigdelset(&set, signo);
  }
  return set;
}

// The process settings of an init, put back by the destructor.
class InitSettings {
 public:
  absl::Status Take(const InitOptions& options) {
    const sigset_t set = SignalsToRead();
    fd_ = os::UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_.valid()) return os::ErrnoStatus(errno, "signalfd");
    if (options.adopt_orphans) {
      int adopts = 0;
      ::prctl(PR_GET_CHILD_SUBREAPER, &adopts);
      if (adopts == 0 && ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return os::ErrnoStatus(errno, "prctl(PR_SET_CHILD_SUBREAPER)");
      }
      adopts_by_us_ = adopts == 0;
    }
    ::pthread_sigmask(SIG_BLOCK, &set, &mask_.emplace());
    // Where SIGCHLD is ignored the kernel reaps children by itself, and tells nobody.
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &action, &child_action_);
    return absl::OkStatus();
  }

  ~InitSettings() {
    if (adopts_by_us_) ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    if (!mask_.has_value()) return;
    while (Next().has_value()) {
      // For a main that is gone; unblocked, it would end this process.
    }
    RestoreSignals();
  }

  // In main.
  void LeaveInChild() {
    fd_.reset();
    RestoreSignals();
  }

  std::optional<signalfd_siginfo> Next() {
    signalfd_siginfo info;
    const ssize_t size = os::RetryEintr([&] { return ::read(fd_.get(), &info, sizeof info); });
    return size == sizeof info ? std::optional(info) : std::nullopt;
  }

  int fd() const { return fd_.get(); }
  const sigset_t& mask() const { return *mask_; }

 private:
  void RestoreSignals() {
    ::sigaction(SIGCHLD, &child_action_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &*mask_, nullptr);
  }

  os::UniqueFd fd_;
  bool adopts_by_us_ = false;
  std::optional<sigset_t> mask_;  // the caller's; none: nothing has been changed
  struct sigaction child_action_ = {};
};

void PassOn(const signalfd_siginfo& info, Child& main) {
  const auto signo = static_cast<int>(info.ssi_signo);
  if (signo == SIGCHLD) return;
  const bool from_terminal = info.ssi_code == SI_KERNEL;
  if (from_terminal && ::getpgid(main.pid()) == ::getpgrp()) return;
  main.Kill(signo).IgnoreError();
}

absl::StatusOr<ExitStatus> Attend(Child& main, InitSettings& settings) {
  for (;;) {
    pollfd fds[2] = {{settings.fd(), POLLIN, 0}, {main.pidfd(), POLLIN, 0}};
    if (os::RetryEintr([&] { return ::poll(fds, 2, -1); }) < 0) return os::ErrnoStatus(errno, "poll");
    while (std::optional<signalfd_siginfo> info = settings.Next()) PassOn(*info, main);
    os::ReapOrphans(main.pid());
    if ((fds[1].revents & POLLIN) == 0) continue;
    absl::StatusOr<ExitStatus> status = main.Wait();
    os::ReapOrphans(main.pid());
    return status;
  }
}

absl::StatusOr<ExitStatus> Run(const InitOptions& options,
                               absl::FunctionRef<absl::StatusOr<Child>(InitSettings&)> start) {
  if (os::HasOtherThreads()) {
    return absl::FailedPreconditionError(
        "RunAsInit: this process has other threads, which would get the signals and lose the children");
  }
  InitSettings settings;
  if (absl::Status taken = settings.Take(options); !taken.ok()) return taken;
  absl::StatusOr<Child> main = start(settings);
  if (!main.ok()) return main.status();
  return Attend(*main, settings);
}

}  // namespace

absl::StatusOr<ExitStatus> RunAsInit(ChildBody main, InitOptions options) {
  return Run(options, [&main](InitSettings& settings) {
    if (!main) return Fork(std::move(main));
    return Fork([main = std::move(main), &settings]() mutable {
      settings.LeaveInChild();
      return main();
    });
  });
}

absl::StatusOr<ExitStatus> RunAsInit(Command main, InitOptions options) {
  return Run(options, [&main](InitSettings& settings) {
    if (!main.signal_mask.has_value()) main.signal_mask = settings.mask();
    return Exec(main);
  });
}

int ShellExitCode(const absl::StatusOr<ExitStatus>& status) {
  constexpr int kNotFound = 127, kNotStarted = 126;
  if (!status.ok()) return absl::IsNotFound(status.status()) ? kNotFound : kNotStarted;
  if (status->exit_code().has_value()) return *status->exit_code();
  if (status->term_signal().has_value()) return 128 + *status->term_signal();
  return status->start_error() == ENOENT ? kNotFound : kNotStarted;
}

}  // namespace ko
