#include "ko/os/vfork_exec.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/base/config.h"
#include "ko/os/errno_status.h"
#include "ko/os/signal_mask.h"

namespace ko::os {
namespace {

constexpr size_t kStackBytes = 64 << 10;

#ifdef ABSL_HAVE_THREAD_SANITIZER
// The sanitizer takes each clone(2) for a fork, after which it changes its record of this thread.
constexpr bool kMayShareMemory = false;
#else
constexpr bool kMayShareMemory = true;
#endif

// Where the child runs, and where it leaves word when it fails. Its parent sleeps meanwhile.
struct LaunchPad {
  StartFailure failure;  // no stage: none
  char stack[kStackBytes];
};

struct Launch {
  const ExecPlan& plan;
  const sigset_t& mask;
  pid_t parent;
  StartFailure& failure;
};

// Async-signal-safe, all that follows: the child runs beside whatever state the parent's other threads are
// in. False is a failure. No function of it leaves by exit: an address sanitizer would look for the end of a
// stack that it does not know.
bool Fail(Launch& launch, const char* stage) {
  launch.failure = {stage, errno};
  return false;
}

// Each to a number above all targets first, so that none is overwritten before its turn.
bool LiftFds(Launch& launch) {
  const absl::Span<PassedFd> fds = launch.plan.fds;
  for (PassedFd& fd : fds) {
    fd.source = ::fcntl(fd.source, F_DUPFD_CLOEXEC, fds.back().target + 1);
    if (fd.source < 0 && errno == EINVAL) errno = EMFILE;  // the number is beyond the limit
    if (fd.source < 0) return Fail(launch, "fcntl(F_DUPFD_CLOEXEC)");
  }
  return true;
}

bool TakeFds(Launch& launch) {
  const ExecPlan& plan = launch.plan;
  if (!LiftFds(launch)) return false;
  for (int fd = 0; fd < 3; ++fd) {
    if (plan.stdio[fd] >= 0 && ::dup2(plan.stdio[fd], fd) < 0) return Fail(launch, "dup2");
  }
  unsigned first_closed = 3;
  for (const PassedFd& fd : plan.fds) {
    const auto target = static_cast<unsigned>(fd.target);
    if (::dup2(fd.source, fd.target) < 0) return Fail(launch, "dup2");
    if (target > first_closed && ::close_range(first_closed, target - 1, CLOSE_RANGE_CLOEXEC) != 0) {
      return Fail(launch, "close_range");
    }
    first_closed = target + 1;
  }
  return ::close_range(first_closed, ~0u, CLOSE_RANGE_CLOEXEC) == 0 || Fail(launch, "close_range");
}

// All for which the user that it starts as may have the privileges.
bool TakeSettings(Launch& launch) {
  const ExecPlan& plan = launch.plan;
  if (plan.new_session && ::setsid() < 0) return Fail(launch, "setsid");
  if (plan.new_process_group && !plan.new_session && ::setpgid(0, 0) != 0) return Fail(launch, "setpgid");
  if (plan.umask >= 0) ::umask(static_cast<mode_t>(plan.umask));
  if (plan.nice != nullptr && ::setpriority(PRIO_PROCESS, 0, *plan.nice) != 0) {
    return Fail(launch, "setpriority");
  }
  if (plan.cpus != nullptr && ::sched_setaffinity(0, plan.cpus_bytes, plan.cpus) != 0) {
    return Fail(launch, "sched_setaffinity");
  }
  for (const ResourceLimit& limit : plan.limits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &limit.limit) != 0) {
      return Fail(launch, "setrlimit");
    }
  }
  return true;
}

// By system calls alone: the C library's functions would change every thread of the process that it takes this
// one for.
bool TakeUser(Launch& launch) {
  const UserChange* const user = launch.plan.user;
  if (user == nullptr) return true;
  if (user->sets_groups && ::syscall(SYS_setgroups, user->groups.size(), user->groups.data()) != 0) {
    return Fail(launch, "setgroups");
  }
  if (::syscall(SYS_setresgid, user->gid, user->gid, user->gid) != 0) return Fail(launch, "setresgid");
  if (::syscall(SYS_setresuid, user->uid, user->uid, user->uid) != 0) return Fail(launch, "setresuid");
  return true;
}

// What the new user decides, or what a change of users would undo.
bool TakeLastSettings(Launch& launch) {
  const ExecPlan& plan = launch.plan;
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Fail(launch, "prctl(PR_SET_PDEATHSIG)");
    if (::getppid() != launch.parent) return false;
  }
  if (plan.working_directory != nullptr && ::chdir(plan.working_directory) != 0) return Fail(launch, "chdir");
  if (plan.no_new_privs && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Fail(launch, "prctl(PR_SET_NO_NEW_PRIVS)");
  }
  return true;
}

void WriteOwnPid(char* room) {
  char digits[3 * sizeof(pid_t)];
  char* first = digits + sizeof digits;
  for (pid_t rest = ::getpid(); rest > 0; rest /= 10) *--first = static_cast<char>('0' + rest % 10);
  while (first != digits + sizeof digits) *room++ = *first++;
  *room = '\0';
}

// Returns only where there is no program to become.
void BecomeProgram(Launch& launch) {
  int error_number = ENOENT;
  for (const char* path : launch.plan.program_paths) {
    ::execve(path, launch.plan.argv, launch.plan.envp);
    // A file that may not be executed is remembered, and the rest of PATH is still tried.
    if (errno != ENOENT && errno != ENOTDIR) error_number = errno;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
  }
  errno = error_number;
  Fail(launch, "execve");
}

int RunChild(void* argument) {
  Launch& launch = *static_cast<Launch*>(argument);
  ResetSignalHandlers();  // the parent's would run in the parent's memory
  if (TakeFds(launch) && TakeSettings(launch) && TakeUser(launch) && TakeLastSettings(launch)) {
    if (launch.plan.own_pid != nullptr) WriteOwnPid(launch.plan.own_pid);
    ::sigprocmask(SIG_SETMASK, &launch.mask, nullptr);
    BecomeProgram(launch);
  }
  return 127;
}

}  // namespace

std::variant<ExecedProcess, StartFailure> VforkExec(const ExecPlan& plan) {
  const bool shares_memory = kMayShareMemory && plan.user == nullptr;
  // A child with a copy has to say through shared pages what it has to say.
  void* const pages = ::mmap(nullptr, sizeof(LaunchPad), PROT_READ | PROT_WRITE,
                             (shares_memory ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (pages == MAP_FAILED) return StartFailure{"mmap", errno};
  auto* const pad = static_cast<LaunchPad*>(pages);

  ScopedAllSignalsBlocked blocked;
  Launch launch{plan, plan.signal_mask != nullptr ? *plan.signal_mask : blocked.previous(), ::getpid(),
                pad->failure};
  int pidfd = -1;
  const pid_t pid =
      ::clone(RunChild, pad->stack + kStackBytes,
              (shares_memory ? CLONE_VM : 0) | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &launch, &pidfd);
  const int clone_error = errno;
  const StartFailure failure = pad->failure;
  ::munmap(pages, sizeof(LaunchPad));
  if (pid < 0) return StartFailure{"clone", clone_error};
  ExecedProcess process{pid, UniqueFd(pidfd)};
  if (failure.stage == nullptr) return process;
  RetryEintr([&] { return ::waitpid(pid, nullptr, __WALL); });
  return failure;
}

}  // namespace ko::os
