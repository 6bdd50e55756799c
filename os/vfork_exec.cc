#include "ko/os/vfork_exec.h"

#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "ko/os/errno_status.h"
#include "ko/os/signal_mask.h"

namespace ko::os {
namespace {

constexpr size_t kStackBytes = 64 << 10;

// The child shares this with its sleeping parent.
struct Launch {
  const ExecPlan& plan;
  const sigset_t& mask;
  pid_t parent;
  StartFailure failure = {nullptr, 0};
};

// Async-signal-safe, all of it: the child runs beside whatever state the parent's other threads are in.
[[noreturn]] void Fail(Launch& launch, const char* stage) {
  launch.failure = {stage, errno};
  ::_exit(127);
}

void TakeStdio(Launch& launch) {
  for (int fd = 0; fd < 3; ++fd) {
    if (launch.plan.stdio[fd] >= 0 && ::dup2(launch.plan.stdio[fd], fd) < 0) Fail(launch, "dup2");
  }
  if (::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0) Fail(launch, "close_range");
}

void TakeSettings(Launch& launch) {
  const ExecPlan& plan = launch.plan;
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail(launch, "prctl(PR_SET_PDEATHSIG)");
    if (::getppid() != launch.parent) ::_exit(127);
  }
  if (plan.new_session && ::setsid() < 0) Fail(launch, "setsid");
  if (plan.new_process_group && !plan.new_session && ::setpgid(0, 0) != 0) Fail(launch, "setpgid");
  if (plan.umask >= 0) ::umask(static_cast<mode_t>(plan.umask));
  if (plan.working_directory != nullptr && ::chdir(plan.working_directory) != 0) Fail(launch, "chdir");
  for (const ResourceLimit& limit : plan.limits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &limit.limit) != 0)
      Fail(launch, "setrlimit");
  }
}

[[noreturn]] void BecomeProgram(Launch& launch) {
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
  TakeSettings(launch);
  TakeStdio(launch);
  ::sigprocmask(SIG_SETMASK, &launch.mask, nullptr);
  BecomeProgram(launch);
}

}  // namespace

std::variant<ExecedProcess, StartFailure> VforkExec(const ExecPlan& plan) {
  void* stack =
      ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return StartFailure{"mmap", errno};

  ScopedAllSignalsBlocked blocked;
  Launch launch{plan, blocked.previous(), ::getpid()};
  int pidfd = -1;
  const pid_t pid = ::clone(RunChild, static_cast<char*>(stack) + kStackBytes,
                            CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &launch, &pidfd);
  const int clone_error = errno;
  ::munmap(stack, kStackBytes);
  if (pid < 0) return StartFailure{"clone", clone_error};
  ExecedProcess process{pid, UniqueFd(pidfd)};
  if (launch.failure.stage == nullptr) return process;
  RetryEintr([&] { return ::waitpid(pid, nullptr, __WALL); });
  return launch.failure;
}

}  // namespace ko::os
