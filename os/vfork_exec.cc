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

#include "absl/base/config.h"
#include "ko/os/errno_status.h"
#include "ko/os/signal_mask.h"

namespace ko::os {
namespace {

constexpr size_t kStackBytes = 64 << 10;

#ifdef ABSL_HAVE_THREAD_SANITIZER
// The sanitizer takes each clone(2) for a fork, after which it changes its record of this thread, so the
// child gets a copy of the memory; what it has to say goes through its stack, which is shared.
constexpr int kMemoryFlag = 0;
constexpr int kStackFlag = MAP_SHARED;
#else
constexpr int kMemoryFlag = CLONE_VM;
constexpr int kStackFlag = MAP_PRIVATE;
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

bool TakeSettings(Launch& launch) {
  const ExecPlan& plan = launch.plan;
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Fail(launch, "prctl(PR_SET_PDEATHSIG)");
    if (::getppid() != launch.parent) return false;
  }
  if (plan.new_session && ::setsid() < 0) return Fail(launch, "setsid");
  if (plan.new_process_group && !plan.new_session && ::setpgid(0, 0) != 0) return Fail(launch, "setpgid");
  if (plan.umask >= 0) ::umask(static_cast<mode_t>(plan.umask));
  if (plan.working_directory != nullptr && ::chdir(plan.working_directory) != 0) return Fail(launch, "chdir");
  for (const ResourceLimit& limit : plan.limits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &limit.limit) != 0) {
      return Fail(launch, "setrlimit");
    }
  }
  return true;
}

bool TakeStdio(Launch& launch) {
  for (int fd = 0; fd < 3; ++fd) {
    if (launch.plan.stdio[fd] >= 0 && ::dup2(launch.plan.stdio[fd], fd) < 0) return Fail(launch, "dup2");
  }
  return ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0 || Fail(launch, "close_range");
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
  if (TakeSettings(launch) && TakeStdio(launch)) {
    ::sigprocmask(SIG_SETMASK, &launch.mask, nullptr);
    BecomeProgram(launch);
  }
  return 127;
}

}  // namespace

std::variant<ExecedProcess, StartFailure> VforkExec(const ExecPlan& plan) {
  void* const pages = ::mmap(nullptr, sizeof(LaunchPad), PROT_READ | PROT_WRITE,
                             kStackFlag | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (pages == MAP_FAILED) return StartFailure{"mmap", errno};
  auto* const pad = static_cast<LaunchPad*>(pages);

  ScopedAllSignalsBlocked blocked;
  Launch launch{plan, blocked.previous(), ::getpid(), pad->failure};
  int pidfd = -1;
  const pid_t pid = ::clone(RunChild, pad->stack + kStackBytes,
                            kMemoryFlag | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &launch, &pidfd);
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
