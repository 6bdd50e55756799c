#include "ko/os/signal_mask.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"

namespace ko::os {
namespace {

class SignalMaskTest : public testing::LeakCheckedTest {};

sigset_t Mask() {
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return mask;
}

TEST_F(SignalMaskTest, BlocksAllAndRestoresWhatWas) {
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, SIGUSR2);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &one, &before);
  {
    const ScopedAllSignalsBlocked blocked;
    const sigset_t all = Mask();
    for (const int signo : {SIGHUP, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMAX}) {
      EXPECT_EQ(::sigismember(&all, signo), 1) << signo;
    }
    EXPECT_EQ(::sigismember(&blocked.previous(), SIGUSR2), 1);
    EXPECT_EQ(::sigismember(&blocked.previous(), SIGUSR1), 0);
  }
  const sigset_t now = Mask();
  EXPECT_EQ(::sigismember(&now, SIGUSR2), 1);
  EXPECT_EQ(::sigismember(&now, SIGUSR1), 0);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(SignalMaskTest, ResetLeavesNoHandlerAndWhatIsIgnored) {
  testing::InChild([] {
    // Not SIGRTMAX: the address sanitizer never tells its handler.
    for (int signo = 1; signo < SIGRTMAX; ++signo) ::signal(signo, [](int) {});
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGRTMIN, SIG_IGN);
    EXPECT_NE(testing::SignalSet(::getpid(), "SigCgt"), 0u);
    ResetSignalHandlers();
    EXPECT_EQ(testing::SignalSet(::getpid(), "SigCgt"), 0u);
    struct sigaction action;
    ::sigaction(SIGHUP, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_IGN);
    ::sigaction(SIGRTMIN, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_IGN);
    ::sigaction(SIGTERM, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_DFL);
  });
}

}  // namespace
}  // namespace ko::os
