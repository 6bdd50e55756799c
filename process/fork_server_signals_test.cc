#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <new>

#include "ko/os/shared_mapping.h"
#include "ko/process/fork_server.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Signals that are sent to a ForkServer's children, and to the caller's group.

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;

class ForkServerSignalsTest : public testing::LeakCheckedTest, public ::testing::WithParamInterface<int> {
 protected:
  static absl::StatusOr<ForkServer> Start(absl::AnyInvocable<absl::Status()> init = nullptr) {
    ForkServerOptions options;
    options.spares = GetParam();
    options.init = std::move(init);
    return ForkServer::Start(std::move(options));
  }
};
INSTANTIATE_TEST_SUITE_P(Spares, ForkServerSignalsTest, ::testing::Values(0, 1));

volatile std::sig_atomic_t handled = 0;

void Block(int signo) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signo);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

// Entered with SIGTERM blocked.
int HandleTerm() {
  ::signal(SIGTERM, [](int) { handled = handled + 1; });
  sigset_t none;
  ::sigemptyset(&none);
  while (handled == 0) ::sigsuspend(&none);
  return handled == 1 ? 42 : 1;
}

TEST_P(ForkServerSignalsTest, SignalSentAsForkReturnsIsHandledByTheChild) {
  InChild([] {
    const absl::StatusOr<ForkServer> server = Start();
    Block(SIGTERM);  // the mask of the call is the child's
    for (int i = 0; i < testing::Rounds(500); ++i) {
      absl::StatusOr<Child> child = server->Fork<&HandleTerm>();
      EXPECT_THAT(child->Kill(SIGTERM), IsOk());
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(42))) << "in round " << i;
    }
  });
}

void Sleep() {
  for (;;) ::pause();
}
int ReturnCode(int code) { return code; }

TEST_P(ForkServerSignalsTest, SignalToTheCallersGroupReachesTasksOnly) {
  InChild([] {
    ::setpgid(0, 0);
    ::signal(SIGINT, [](int) {});
    const absl::StatusOr<ForkServer> server = Start();
    const pid_t pid = server->pid();
    for (int i = 0; i < testing::Rounds(100); ++i) {
      absl::StatusOr<Child> child = server->Fork<&Sleep>();
      ::kill(0, SIGINT);
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGINT)));
      child = server->Fork<&ReturnCode>(4);
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(4))) << "the spare heard nothing";
    }
    EXPECT_EQ(server->pid(), pid);
  });
}

int CompareSignals(uint64_t blocked, uint64_t ignored) {
  if (testing::SignalSet(::getpid(), "SigBlk") != blocked) return 1;
  if (testing::SignalSet(::getpid(), "SigIgn") != ignored) return 2;
  return testing::SignalSet(::getpid(), "SigCgt") == 0 ? 42 : 3;
}

TEST_P(ForkServerSignalsTest, ChildHasTheCallsMaskAndIgnoredSignalsAndNoHandler) {
  InChild([] {
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGUSR1, [](int) {});
    const absl::StatusOr<ForkServer> server = Start([] {
      ::signal(SIGUSR2, [](int) {});  // of the server's
      return absl::OkStatus();
    });
    for (const int signo : {SIGUSR2, SIGTERM}) {
      Block(signo);
      absl::StatusOr<Child> child = server->Fork<&CompareSignals>(testing::SignalSet(::getpid(), "SigBlk"),
                                                                  testing::SignalSet(::getpid(), "SigIgn"));
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(42)));
    }
  });
}

// In memory that the test shares with its tasks.
std::atomic<int>* runs = nullptr;
int CountRun() {
  runs->fetch_add(1);
  return 4;
}

TEST_P(ForkServerSignalsTest, IgnoredSigchldRunsNoTaskTwice) {
  const os::SharedMapping page = *os::SharedMapping::Create(sizeof *runs);
  runs = new (page.data()) std::atomic<int>(0);
  InChild([] {
    const absl::StatusOr<ForkServer> server = Start();
    const pid_t pid = server->pid();
    ::signal(SIGCHLD, SIG_IGN);
    const int rounds = testing::Rounds(200);
    for (int i = 0; i < rounds; ++i) {
      absl::StatusOr<Child> child = server->Fork<&CountRun>();
      ASSERT_THAT(child, IsOk());
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(4)));
    }
    EXPECT_EQ(runs->load(), rounds);
    EXPECT_EQ(server->pid(), pid);
  });
}

int LeadGroup() {
  if (::setpgid(0, 0) != 0) return 1;
  ::usleep(1000);
  return ::getpgrp() == ::getpid() ? 4 : 2;
}

TEST_P(ForkServerSignalsTest, AGroupThatATaskMakesIsItsOwn) {
  InChild([] {
    const absl::StatusOr<ForkServer> server = Start();
    for (int i = 0; i < testing::Rounds(200); ++i) {
      absl::StatusOr<Child> child = server->Fork<&LeadGroup>();
      EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(4)));
    }
  });
}

TEST_P(ForkServerSignalsTest, IgnoredSigchldLosesNoStatus) {
  InChild([] {
    const absl::StatusOr<ForkServer> server = Start();
    ::signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 20; ++i) {
      absl::StatusOr<Child> child = server->Fork<&ReturnCode>(4);
      EXPECT_THAT(child, IsOk());
      EXPECT_THAT(child->Wait(), testing::IsOk());
    }
  });
}

}  // namespace
}  // namespace ko
