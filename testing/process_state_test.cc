#include "ko/testing/process_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"

namespace ko::testing {
namespace {

class ProcessStateTest : public LeakCheckedTest {
 protected:
  // A child that sleeps until it is killed, at the latest with the test.
  static pid_t ForkSleeper() {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == parent) ::pause();
    ::_exit(0);
  }
  static void End(pid_t pid) {
    ::kill(pid, SIGKILL);
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  }
};

TEST_F(ProcessStateTest, TellsOfThisProcess) {
  ::prctl(PR_SET_NAME, "a) S (b");
  const std::optional<ProcessState> state = ReadProcessState(::getpid());
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->letter, 'R');
  EXPECT_EQ(state->parent, ::getppid());
  EXPECT_EQ(state->process_group, ::getpgrp());
  EXPECT_EQ(state->session, ::getsid(0));
  EXPECT_GT(state->start_time_ticks, 0u);
}

TEST_F(ProcessStateTest, AwaitsStates) {
  const pid_t pid = ForkSleeper();
  EXPECT_TRUE(AwaitState(pid, 'S'));
  ::kill(pid, SIGSTOP);
  EXPECT_TRUE(AwaitState(pid, 'T'));
  ::kill(pid, SIGKILL);
  AwaitEnded(pid);
  EXPECT_TRUE(AwaitState(pid, 'Z'));
  End(pid);
  EXPECT_FALSE(ReadProcessState(pid).has_value());
  EXPECT_FALSE(AwaitState(pid, 'S')) << "it has gone";
  AwaitEnded(pid);
}

TEST_F(ProcessStateTest, NamesChildren) {
  const pid_t first = ForkSleeper();
  const pid_t second = ForkSleeper();
  EXPECT_THAT(Children(), ::testing::UnorderedElementsAre(first, second));
  End(first);
  End(second);
  EXPECT_THAT(Children(), ::testing::IsEmpty());
}

TEST_F(ProcessStateTest, AdoptsOrphans) {
  Gate forked, orphan_may_end;
  const pid_t middle = ::fork();
  if (middle == 0) {
    if (::fork() == 0) {
      forked.Open();
      orphan_may_end.CloseOpener();
      orphan_may_end.Pass();
      ::_exit(9);
    }
    ::_exit(0);
  }
  ASSERT_TRUE(forked.Pass());
  ASSERT_EQ(::waitpid(middle, nullptr, 0), middle);
  ASSERT_EQ(Children().size(), 1u);
  orphan_may_end.Open();
  int status;
  EXPECT_GT(::waitpid(-1, &status, 0), 0);
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

TEST_F(ProcessStateTest, SignalSetTellsItsSignals) {
  const uint64_t before = SignalSet(::getpid(), "SigIgn");
  const auto previous = ::signal(SIGUSR1, SIG_IGN);
  EXPECT_EQ(SignalSet(::getpid(), "SigIgn"), before | uint64_t{1} << (SIGUSR1 - 1));
  ::signal(SIGUSR1, previous);
  EXPECT_EQ(SignalSet(::getpid(), "SigIgn"), before);
}

TEST_F(ProcessStateTest, StatusLineTellsValue) {
  EXPECT_EQ(StatusLine(::getpid(), "Pid"), std::to_string(::getpid()));
  EXPECT_EQ(StatusLine(::getpid(), "NoSuchLine"), "");
}

}  // namespace
}  // namespace ko::testing
