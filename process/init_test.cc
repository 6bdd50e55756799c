#include "ko/process/init.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ko/os/unique_fd.h"
#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

// Makes an orphan that has ended, and waits until whoever has it now has reaped it.
void AwaitReapingOfAnOrphan() {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  if (::fork() == 0) {
    const pid_t orphan = ::fork();
    if (orphan != 0 && ::write(fds[1], &orphan, sizeof orphan) != sizeof orphan) ::_exit(1);
    ::_exit(0);  // both
  }
  ::wait(nullptr);
  pid_t orphan = 0;
  ASSERT_EQ(::read(fds[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  while (::kill(orphan, 0) == 0) ::sched_yield();  // by the pid, as /proc may be another namespace's
}

// The next of `signals` that this process is sent. They are blocked from then on.
int Receive(std::vector<int> signals, void (*provoke)()) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signo : signals) ::sigaddset(&set, signo);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  provoke();
  int signo = 0;
  ::sigwait(&set, &signo);
  return signo;
}

class InitTest : public testing::LeakCheckedTest {};

TEST_F(InitTest, MainsEndIsTold) {
  EXPECT_THAT(RunAsInit([] { return 7; }), IsOkAndHolds(ExitStatus::Exited(7)));
  EXPECT_THAT(RunAsInit([] { ::raise(SIGKILL); }), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_THAT(RunAsInit(Command{.argv = {"sh", "-c", "exit 3"}}), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(InitTest, MainThatCannotStartIsTheReturnedError) {
  EXPECT_THAT(RunAsInit(Command{.argv = {"/no/such/program"}}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(RunAsInit(ChildBody()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(InitTest, ShellExitCodesAreTheShells) {
  EXPECT_EQ(ShellExitCode(ExitStatus::Exited(0)), 0);
  EXPECT_EQ(ShellExitCode(ExitStatus::Exited(255)), 255);
  EXPECT_EQ(ShellExitCode(ExitStatus::Signaled(SIGTERM)), 143);
  EXPECT_EQ(ShellExitCode(ExitStatus::Signaled(SIGKILL)), 137);
  EXPECT_EQ(ShellExitCode(ExitStatus::NotStarted(ENOENT)), 127);
  EXPECT_EQ(ShellExitCode(ExitStatus::NotStarted(ENOMEM)), 126);
  EXPECT_EQ(ShellExitCode(ExitStatus::Unknown()), 126);
  EXPECT_EQ(ShellExitCode(absl::NotFoundError("")), 127);
  EXPECT_EQ(ShellExitCode(absl::UnavailableError("")), 126);
}

TEST_F(InitTest, OrphansAreReapedWhileMainRuns) {
  InChild([] {
    EXPECT_THAT(RunAsInit(
                    [] {
                      for (int i = 0; i < 20; ++i) AwaitReapingOfAnOrphan();
                    },
                    {.adopt_orphans = true}),
                IsOkAndHolds(ExitStatus::Exited(0)));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  });
}

TEST_F(InitTest, ChildOfThisProcessesOwnIsLeftToItsOwnerAndOrphansBehindItAreReaped) {
  InChild([] {
    absl::StatusOr<Child> own = Fork([] { return 5; });
    ASSERT_THAT(own, IsOk());
    testing::AwaitEnded(own->pid());
    EXPECT_THAT(RunAsInit(AwaitReapingOfAnOrphan, {.adopt_orphans = true}),
                IsOkAndHolds(ExitStatus::Exited(0)));
    EXPECT_EQ(testing::ReadProcessState(own->pid())->letter, 'Z');
    EXPECT_THAT(own->Wait(), IsOkAndHolds(ExitStatus::Exited(5)));
  });
}

TEST_F(InitTest, SignalsArePassedOnToMain) {
  InChild([] {
    for (const int signo : {SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGWINCH, SIGALRM, SIGRTMIN, SIGRTMAX}) {
      EXPECT_THAT(RunAsInit([signo] {
                    static int sent;
                    sent = signo;
                    return Receive({signo}, [] { ::kill(::getppid(), sent); }) == signo ? 0 : 1;
                  }),
                  IsOkAndHolds(ExitStatus::Exited(0)))
          << signo;
    }
  });
}

TEST_F(InitTest, CtrlCReachesMainOnce) {
  InChild([] {
    ::setsid();
    const os::UniqueFd terminal(::posix_openpt(O_RDWR | O_NOCTTY));
    ASSERT_TRUE(terminal.valid());
    ASSERT_EQ(::grantpt(terminal.get()), 0);
    ASSERT_EQ(::unlockpt(terminal.get()), 0);
    const os::UniqueFd controlling(::open(::ptsname(terminal.get()), O_RDWR));
    ASSERT_TRUE(controlling.valid());
    EXPECT_THAT(RunAsInit([&terminal] {
                  sigset_t set, pending;
                  ::sigemptyset(&set);
                  ::sigaddset(&set, SIGINT);
                  ::sigaddset(&set, SIGUSR1);
                  ::sigprocmask(SIG_BLOCK, &set, nullptr);
                  EXPECT_EQ(::write(terminal.get(), "\x03", 1), 1);
                  siginfo_t info;
                  EXPECT_EQ(::sigwaitinfo(&set, &info), SIGINT);
                  EXPECT_EQ(info.si_code, SI_KERNEL);
                  // Signals are read in the order of their numbers: after this one it has seen the other.
                  ::kill(::getppid(), SIGUSR1);
                  EXPECT_EQ(::sigwaitinfo(&set, &info), SIGUSR1);
                  ::sigpending(&pending);
                  EXPECT_FALSE(::sigismember(&pending, SIGINT));
                }),
                IsOkAndHolds(ExitStatus::Exited(0)));
    ::signal(SIGHUP, SIG_IGN);  // from the terminal, as it goes
  });
}

TEST_F(InitTest, SignalThatMainDiesOfBecomesItsExitCode) {
  InChild([] {
    EXPECT_EQ(ShellExitCode(RunAsInit(Command{.argv = {"sh", "-c", "kill -TERM $PPID; exec sleep 1000"}})),
              143);
  });
}

TEST_F(InitTest, SignalForAMainThatHasEndedDoesNotEndThisProcess) {
  InChild([] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_THAT(RunAsInit([] {
                    ::signal(SIGTERM, SIG_IGN);
                    ::kill(::getppid(), SIGTERM);
                    ::_exit(0);
                  }),
                  IsOkAndHolds(ExitStatus::Exited(0)));
    }
  });
}

TEST_F(InitTest, MainHasTheCallersMaskAndDispositionsAndTheCallerHasThemBack) {
  InChild([] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::signal(SIGCHLD, SIG_IGN);
    const pid_t self = ::getpid();
    const uint64_t blocked = testing::SignalSet(self, "SigBlk");
    const uint64_t ignored = testing::SignalSet(self, "SigIgn");
    EXPECT_THAT(RunAsInit(
                    [&] {
                      EXPECT_EQ(testing::SignalSet(::getpid(), "SigBlk"), blocked);
                      EXPECT_EQ(testing::SignalSet(::getpid(), "SigIgn"), ignored);
                    },
                    {.adopt_orphans = true}),
                IsOkAndHolds(ExitStatus::Exited(0)));
    EXPECT_EQ(testing::SignalSet(self, "SigBlk"), blocked);
    EXPECT_EQ(testing::SignalSet(self, "SigIgn"), ignored);
    int adopts = 1;
    ::prctl(PR_GET_CHILD_SUBREAPER, &adopts);
    EXPECT_EQ(adopts, 0);
    EXPECT_THAT(RunAsInit(Command{.argv = {"grep", "-q", "SigBlk:.0000000000000800", "/proc/self/status"}}),
                IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

TEST_F(InitTest, ThreadsAreRefused) {
  InChild([] {
    testing::Gate gate;
    std::thread other([&] { gate.Pass(); });
    EXPECT_THAT(RunAsInit([] {}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("threads")));
    gate.Open();
    other.join();
  });
}

// As PID 1 of a pid namespace, with a /proc of its own or the outer one.
class PidOneTest : public InitTest, public ::testing::WithParamInterface<bool> {
 protected:
  template <class Run>
  static void AsPidOne(Run run) {
    const testing::InChildResult result = InChild([&]() -> std::string {
      if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return "skip";
      absl::StatusOr<Child> one = Fork([&run] {
        if (GetParam()) {
          EXPECT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
          EXPECT_EQ(::mount("proc", "/proc", "proc", 0, nullptr), 0);
        }
        EXPECT_EQ(::getpid(), 1);
        run();
      });
      EXPECT_THAT(one, IsOk());
      EXPECT_THAT(one->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
      return "";
    });
    if (result.value == "skip") GTEST_SKIP() << "this process may not make a pid namespace";
  }
};

TEST_P(PidOneTest, ReapsOrphansAndPassesSignalsOn) {
  AsPidOne([] {
    EXPECT_THAT(RunAsInit([] {
                  for (int i = 0; i < 5; ++i) AwaitReapingOfAnOrphan();
                  return Receive({SIGTERM}, [] { ::kill(1, SIGTERM); }) == SIGTERM ? 0 : 1;
                }),
                IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

TEST_P(PidOneTest, SignalThatMainDiesOfBecomesItsExitCode) {
  AsPidOne([] {
    EXPECT_EQ(ShellExitCode(RunAsInit(Command{.argv = {"sh", "-c", "kill -HUP 1; exec sleep 1000"}})), 129);
  });
}

INSTANTIATE_TEST_SUITE_P(Proc, PidOneTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "ItsOwn" : "TheOuterOne"; });

}  // namespace
}  // namespace ko
