#include "ko/os/fork.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "ko/os/c_library_fork.h"
#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"
#include "ko/os/fork_handlers.h"
#include "ko/os/pidfd.h"
#include "ko/os/signal_mask.h"
#include "ko/os/thread_id.h"
#include "ko/os/thread_records.h"
#include "ko/os/threads.h"

namespace ko::os {
namespace {

// Whether the kernel would reap a child by itself the moment it ends, after which its pid could name another
// process.
bool ChildrenAreReapedByTheKernel() {
  struct sigaction action;
  return ::sigaction(SIGCHLD, nullptr, &action) == 0 &&
         (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0);
}

// Holds the child back until the parent has said, by a byte, that it may go on.
struct Gate {
  UniqueFd read, write;

  bool Create() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return false;
    read.reset(fds[0]);
    write.reset(fds[1]);
    return true;
  }
  void Open() {
    const char byte = 1;
    RetryEintr([&] { return ::write(write.get(), &byte, 1); });
  }
  bool Pass() {
    write.reset();
    char byte;
    return RetryEintr([&] { return ::read(read.get(), &byte, 1); }) == 1;
  }
};

StartFailure Undo(pid_t pid, int pidfd_error) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, __WALL);
  return StartFailure{"pidfd_open", pidfd_error};
}

std::variant<ForkedProcess, StartFailure> ForkBehindGate() {
  Gate gate;
  if (!gate.Create()) return StartFailure{"pipe2", errno};
  const pid_t pid = ::fork();
  if (pid < 0) return StartFailure{"fork", errno};
  if (pid == 0) {
    if (!gate.Pass()) ::_exit(127);  // the parent could not open the pidfd, or has died
    return ForkedProcess{0, UniqueFd()};
  }
  gate.read.reset();
  UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd.valid()) return Undo(pid, errno);
  gate.Open();
  return ForkedProcess{pid, std::move(pidfd)};
}

std::variant<ForkedProcess, StartFailure> ForkByTheCLibrary() {
  // Where the child's pid could be another process's, or the fd for it another thread's, before there is a
  // pidfd.
  if (ChildrenAreReapedByTheKernel() || HasOtherThreads()) return ForkBehindGate();

  // A descriptor held until the child's pidfd takes its place, and of the same kind: where no pidfd is to be had
  // there is no fork at all, and nothing to undo that may have begun to run.
  UniqueFd reserved = OpenPidfd(::getpid());
  if (!reserved.valid()) return StartFailure{"pidfd_open", errno};
  const pid_t pid = ::fork();
  if (pid < 0) return StartFailure{"fork", errno};
  reserved.reset();
  if (pid == 0) return ForkedProcess{0, UniqueFd()};
  UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd.valid()) return Undo(pid, errno);  // the kernel's memory has run out since
  return ForkedProcess{pid, std::move(pidfd)};
}

// Whether a system call is refused as such: by a kernel, a tracer (valgrind) or a filter that does not know it.
bool IsRefused(const StartFailure& failure) {
  return failure.error_number == ENOSYS || failure.error_number == EPERM;
}

KO_CHILD_CODE std::variant<ForkedProcess, StartFailure> ForkByClone(const ThreadRecords& thread,
                                                                    Handlers handlers) {
  const pid_t parent = ::getpid();
  const pid_t forking_thread = ThreadId();
  const bool reset = handlers == Handlers::kReset;
  clone_args arguments = {};
  arguments.flags = reset ? CLONE_CLEAR_SIGHAND : 0;
  arguments.exit_signal = SIGCHLD;
  std::variant<ForkedProcess, StartFailure> forked = thread.Clone(arguments);
  const auto* const process = std::get_if<ForkedProcess>(&forked);
  if (process != nullptr && process->pid == 0) RunForkHandlersInChild(parent, forking_thread, reset);
  return forked;
}

}  // namespace

KO_CHILD_CODE std::variant<ForkedProcess, StartFailure> ForkWithPidfd(Handlers handlers) {
  if (!NeedsCLibraryFork()) {
    if (const absl::StatusOr<ThreadRecords> thread = ThreadRecords::Find(); thread.ok()) {
      std::variant<ForkedProcess, StartFailure> forked = ForkByClone(*thread, handlers);
      const auto* const failure = std::get_if<StartFailure>(&forked);
      if (failure == nullptr || !IsRefused(*failure)) return forked;
    }
  }
  std::variant<ForkedProcess, StartFailure> forked = ForkByTheCLibrary();
  const auto* const process = std::get_if<ForkedProcess>(&forked);
  if (handlers == Handlers::kReset && process != nullptr && process->pid == 0) ResetSignalHandlers();
  return forked;
}

}  // namespace ko::os
