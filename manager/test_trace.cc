#include "ko/manager/test_trace.h"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace ko {
namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

}  // namespace

void BeginTrace() {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
}

bool Trace(absl::FunctionRef<void()> run, absl::FunctionRef<void(pid_t, const TracedCall&)> on_call) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    run();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  bool watching = false;
  for (;;) {
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return false;
    if (!WIFSTOPPED(status)) return watching && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    int signo = WSTOPSIG(status);
    if (!watching) {
      ::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
      watching = true;
      signo = 0;  // BeginTrace's own
    } else if (signo == kSyscallStop) {
      signo = 0;
      __ptrace_syscall_info info = {};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        TracedCall call = {.number = info.entry.nr, .arguments = {}};
        for (int i = 0; i < 6; ++i) call.arguments[i] = info.entry.args[i];
        on_call(pid, call);
      }
    }
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, signo);
  }
}

}  // namespace ko
