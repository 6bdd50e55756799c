#include "ko/os/terminal_interrupt.h"

#include <csignal>

#include "ko/os/child_code.h"

namespace ko::os {
namespace {

// Async-signal-safe.
void OnInterrupt(int signo, siginfo_t* info, void*) {
  if (info->si_code == SI_KERNEL) return;  // the terminal's
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signo, &action, nullptr);
  ::raise(signo);  // blocked here, so it comes when this handler returns
}

KO_CHILD_CODE struct sigaction CurrentAction() {
  struct sigaction action = {};
  ::sigaction(SIGINT, nullptr, &action);
  return action;
}

}  // namespace

KO_CHILD_CODE void LeaveTerminalInterruptsToParent() {
  if (InterruptsAreIgnored()) return;
  struct sigaction action = {};
  action.sa_sigaction = OnInterrupt;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
}

bool TerminalInterruptsAreLeftToParent() {
  const struct sigaction action = CurrentAction();
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == OnInterrupt;
}

KO_CHILD_CODE bool InterruptsAreIgnored() {
  const struct sigaction action = CurrentAction();
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace ko::os
