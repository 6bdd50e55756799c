#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_trace.h"
#include "ko/os/deadline.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"

// How a manager ends what it runs: on SIGTERM, on SIGINT, when asked, and when it is destroyed.

namespace ko {
namespace {

using testing::AwaitState;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::InChild;
using testing::InChildResult;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ShutdownTest : public testing::LeakCheckedTest {};

pid_t PidOfPidfd(pid_t holder, int pidfd) {
  const std::string info = testing::ReadFile(absl::StrCat("/proc/", holder, "/fdinfo/", pidfd));
  pid_t pid = 0;
  std::sscanf(info.c_str() + std::min(info.find("Pid:"), info.size()), "Pid: %d", &pid);
  return pid;
}

// --- On a signal ---

TEST_F(ShutdownTest, SigtermEndsChildrenInGoodOrder) {
  InChild([] {
    ProcessManager manager;
    std::vector<Process> processes;
    for (int i = 0; i < 3; ++i) processes.push_back(manager.Spawn(ServeUntilShutdown));
    for (Process& process : processes) ASSERT_THAT(process.WaitReady(), IsOk());
    ::raise(SIGTERM);
    EXPECT_FALSE(manager.IsShuttingDown()) << "not before somebody dispatches";
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_TRUE(manager.IsShuttingDown());
    EXPECT_EQ(manager.size(), 0u);
    for (Process& process : processes) {
      EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
      EXPECT_EQ(process.restarts(), 0) << "42 is a failure, which is restarted at other times";
    }
  });
}

TEST_F(ShutdownTest, SigintDoesTheSame) {
  InChild([] {
    ProcessManager manager;
    Process process = manager.Spawn(ServeUntilShutdown);
    ASSERT_THAT(process.WaitReady(), IsOk());
    ::raise(SIGINT);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

TEST_F(ShutdownTest, IgnoredSigintStaysIgnored) {
  InChild([] {
    ::signal(SIGINT, SIG_IGN);
    ProcessManager manager;
    Process process = manager.Fork([] {
      ::raise(SIGINT);
      return 3;
    });
    ::raise(SIGINT);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_FALSE(manager.IsShuttingDown());
    EXPECT_EQ(process.exit_status(), ExitStatus::Exited(3)) << "in the child too";
  });
}

TEST_F(ShutdownTest, SigtermWakesAManagerThatSleepsInWait) {
  const Shared<std::atomic<pid_t>> sleeping;
  ProcessManager killer;
  testing::Gate gate;
  killer.Fork([&] {
    gate.Pass();
    AwaitState(sleeping->load(), 'S');
    ::kill(sleeping->load(), SIGTERM);
  });
  InChild([&] {
    ProcessManager manager;
    Process process = manager.Spawn(ServeUntilShutdown);
    ASSERT_THAT(process.WaitReady(), IsOk());
    sleeping->store(::getpid());
    gate.Open();
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_TRUE(manager.IsShuttingDown());
  });
  EXPECT_THAT(killer.Wait(), IsOk());
}

TEST_F(ShutdownTest, SigtermReachesAWaitForOneProcess) {
  InChild([] {
    ProcessManager manager;
    Process process = manager.Spawn(ServeUntilShutdown);
    ::raise(SIGTERM);
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  });
}

TEST_F(ShutdownTest, SigtermRightAfterOnShutdownFindsTheHandler) {
  const InChildResult result = InChild([]() -> std::string {
    ProcessManager manager;
    bool told = false;
    manager.OnShutdown([&] { told = true; });
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Dispatch(), IsOk());
    return told ? "told" : "not told";
  });
  EXPECT_EQ(result.value, "told");
}

TEST_F(ShutdownTest, SecondSigtermChangesNothing) {
  InChild([] {
    ProcessManager manager;
    int told = 0;
    manager.OnShutdown([&] { ++told; });
    Process process = manager.Spawn(ServeUntilShutdown);
    ASSERT_THAT(process.WaitReady(), IsOk());
    ::raise(SIGTERM);
    ASSERT_THAT(manager.Dispatch(), IsOk());
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(told, 1);
    EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

TEST_F(ShutdownTest, TwoManagersBothShutDown) {
  InChild([] {
    ProcessManager first, second;
    Process a = first.Spawn(ServeUntilShutdown), b = second.Spawn(ServeUntilShutdown);
    ASSERT_THAT(a.WaitReady(), IsOk());
    ASSERT_THAT(b.WaitReady(), IsOk());
    ::raise(SIGTERM);
    EXPECT_THAT(first.Wait(), IsOk());
    EXPECT_THAT(second.Wait(), IsOk());
    EXPECT_EQ(a.exit_status(), ExitStatus::Exited(kSawShutdown));
    EXPECT_EQ(b.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

TEST_F(ShutdownTest, PreviousDispositionsComeBackWithDestruction) {
  InChild([] {
    static volatile std::sig_atomic_t handled = 0;
    ::signal(SIGTERM, [](int) { handled = 1; });
    ::signal(SIGINT, SIG_DFL);
    {
      ProcessManager manager;
      EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk());
    }
    ::raise(SIGTERM);
    EXPECT_EQ(handled, 1);
    struct sigaction action;
    ::sigaction(SIGINT, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_DFL);
  });
}

TEST_F(ShutdownTest, WithoutAManagerSigtermKillsAgain) {
  const InChildResult result = InChild([] {
    {
      ProcessManager manager;
      EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk());
    }
    ::raise(SIGTERM);
  });
  EXPECT_EQ(result.term_signal, SIGTERM);
}

// --- The order ---

TEST_F(ShutdownTest, HandlersRunBeforeAnyChildIsTold) {
  ProcessManager manager;
  const Shared<std::atomic<int>> heard;
  std::vector<std::string> log;
  Process process = manager.Spawn([&](Self& self) {
    ServeUntilShutdown(self);
    heard->store(1);
  });
  ASSERT_THAT(process.WaitReady(), IsOk());
  for (const char* name : {"first", "second"}) {
    manager.OnShutdown([&, name] {
      log.push_back(name);
      EXPECT_TRUE(manager.IsShuttingDown());
      // It would have answered by then: it sleeps in the kernel, where SIGTERM would end its sleep.
      EXPECT_TRUE(AwaitState(process.pid(), 'S'));
      EXPECT_EQ(testing::StatusLine(process.pid(), "ShdPnd"), std::string(16, '0'));
      EXPECT_EQ(heard->load(), 0);
    });
  }
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_THAT(log, ElementsAre("first", "second"));
  EXPECT_EQ(heard->load(), 1);
}

// The sending itself is watched: what the children make of it may come in any order.
TEST_F(ShutdownTest, ChildrenAreToldInTheReverseOrderOfTheirStarts) {
  const Shared<std::array<pid_t, 5>> started;
  std::vector<pid_t> told;
  EXPECT_TRUE(Trace(
      [&] {
        ProcessManager manager;
        for (pid_t& pid : *started) pid = manager.Spawn(ServeUntilShutdown).pid();
        BeginTrace();
        EXPECT_THAT(manager.Shutdown(), IsOk());
      },
      [&](pid_t pid, const TracedCall& call) {
        if (call.number != SYS_pidfd_send_signal || call.arguments[1] != SIGTERM) return;
        told.push_back(PidOfPidfd(pid, static_cast<int>(call.arguments[0])));
      }));
  EXPECT_THAT(told, ElementsAreArray(started->rbegin(), started->rend()));
}

TEST_F(ShutdownTest, ShutdownHandlersMayWaitForASingleProcess) {
  ProcessManager manager;
  Process job = manager.Fork([] { return 3; });
  Process server = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(server.WaitReady(), IsOk());
  manager.OnShutdown([&] {
    EXPECT_THAT(job.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
    EXPECT_TRUE(server.IsAlive());
  });
  EXPECT_THAT(manager.Shutdown(), IsOk());
}

TEST_F(ShutdownTest, HandlerAddedDuringTheShutdownRunsAtTheNextDispatch) {
  ProcessManager manager;
  int late = 0;
  EXPECT_THAT(manager.Shutdown(), IsOk());
  manager.OnShutdown([&] { ++late; });
  EXPECT_EQ(late, 0);
  EXPECT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  EXPECT_EQ(late, 1);
}

TEST_F(ShutdownTest, ExitsAreToldDuringTheShutdown) {
  ProcessManager manager;
  std::vector<int> codes;
  for (int i = 0; i < 5; ++i) {
    manager.Spawn(ServeUntilShutdown).OnError([&](const ExitStatus& status) {
      codes.push_back(status.exit_code().value_or(-1));
    });
  }
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_THAT(codes, ElementsAre(kSawShutdown, kSawShutdown, kSawShutdown, kSawShutdown, kSawShutdown));
}

// --- The grace time ---

TEST_F(ShutdownTest, WhatIgnoresSigtermIsKilledAfterTheGrace) {
  ProcessManager manager;
  Process deaf = manager.Spawn(IgnoreShutdown), good = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(deaf.WaitReady(), IsOk());
  ASSERT_THAT(good.WaitReady(), IsOk());
  const absl::Duration start = os::MonotonicNow();
  EXPECT_THAT(manager.Shutdown({.grace = absl::Milliseconds(50)}), IsOk());
  EXPECT_GE(os::MonotonicNow() - start, absl::Milliseconds(50));
  EXPECT_EQ(deaf.exit_status(), ExitStatus::Signaled(SIGKILL));
  EXPECT_EQ(good.exit_status(), ExitStatus::Exited(kSawShutdown));
}

TEST_F(ShutdownTest, PolicyOfTheManagerHoldsForSigterm) {
  InChild([] {
    ProcessManager manager;
    manager.SetStopPolicy({.signal = SIGUSR2, .grace = absl::InfiniteDuration()});
    Process process = manager.Spawn(SleepForEver);
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGUSR2));
  });
}

TEST_F(ShutdownTest, ShutdownByWhatIsNoSignalIsInvalidArgumentAndStopsNothing) {
  ProcessManager manager;
  manager.Fork(SleepForEver);
  EXPECT_THAT(manager.Shutdown({.signal = -1}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(manager.IsShuttingDown());
  EXPECT_EQ(manager.size(), 1u);
}

TEST_F(ShutdownTest, CalledAgainWithAShorterGraceItMakesHaste) {
  InChild([] {
    ProcessManager manager;
    manager.SetStopPolicy({.grace = absl::InfiniteDuration()});
    Process deaf = manager.Spawn(IgnoreShutdown);
    ASSERT_THAT(deaf.WaitReady(), IsOk());
    ::raise(SIGTERM);
    ASSERT_THAT(manager.Dispatch(), IsOk());
    EXPECT_TRUE(manager.IsShuttingDown());
    EXPECT_THAT(manager.Shutdown({.grace = absl::Milliseconds(10)}), IsOk());
    EXPECT_EQ(deaf.exit_status(), ExitStatus::Signaled(SIGKILL));
  });
}

TEST_F(ShutdownTest, StoppedChildIsEndedAsWell) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Kill(SIGSTOP), IsOk());
  ASSERT_TRUE(AwaitState(process.pid(), 'T'));
  EXPECT_THAT(manager.Shutdown({.grace = absl::InfiniteDuration()}), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
}

// --- Nothing is started any more ---

TEST_F(ShutdownTest, StartsAfterItAreCancelled) {
  ProcessManager manager;
  EXPECT_THAT(manager.Shutdown(), IsOk());
  int errors = 0;
  Process process = manager.Fork([] {});
  process.OnError([&](const ExitStatus&) { ++errors; });
  absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOkAndHolds(ExitStatus::NotStarted(ECANCELED)));
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(errors, 1);
  EXPECT_THAT(manager.Spawn([] {}).Wait(), IsOkAndHolds(ExitStatus::NotStarted(ECANCELED)));
}

TEST_F(ShutdownTest, StartInAShutdownHandlerIsCancelled) {
  ProcessManager manager;
  Process process;
  manager.OnShutdown([&] { process = manager.Fork([] {}); });
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::NotStarted(ECANCELED));
}

TEST_F(ShutdownTest, WhatWaitsForARestartIsNotStartedAgain) {
  ProcessManager manager;
  const Shared<std::atomic<int>> runs;
  Process process = manager.Spawn(
      [&] {
        runs->fetch_add(1);
        return 3;
      },
      {.initial_delay = absl::Milliseconds(50), .jitter = 0});
  while (process.pid() != 0) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(runs->load(), 1);
}

TEST_F(ShutdownTest, OfAManagerWithoutChildrenIsOkAndRunsTheHandlers) {
  ProcessManager manager;
  bool told = false;
  manager.OnShutdown([&] { told = true; });
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_TRUE(told);
  EXPECT_THAT(manager.Shutdown(), IsOk()) << "twice";
}

TEST_F(ShutdownTest, HandlerMayShutDown) {
  ProcessManager manager;
  Process server = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(server.WaitReady(), IsOk());
  manager.Fork([] {}).OnSuccess([&] { EXPECT_THAT(manager.Shutdown(), IsOk()); });
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(server.exit_status(), ExitStatus::Exited(kSawShutdown));
}

TEST_F(ShutdownTest, ShutdownHandlerMayShutDown) {
  ProcessManager manager;
  Process server = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(server.WaitReady(), IsOk());
  manager.OnShutdown([&] { EXPECT_THAT(manager.Shutdown(), IsOk()); });
  EXPECT_THAT(manager.Shutdown(), IsOk());
  EXPECT_EQ(server.exit_status(), ExitStatus::Exited(kSawShutdown));
}

TEST_F(ShutdownTest, ShutdownHandlerOfASignalMayDestroyTheManager) {
  InChild([] {
    auto manager = std::make_unique<ProcessManager>();
    Process server = manager->Spawn(ServeUntilShutdown);
    ASSERT_THAT(server.WaitReady(), IsOk());
    manager->OnShutdown([&] { manager.reset(); });
    ::raise(SIGTERM);
    EXPECT_THAT(manager->Wait(), StatusIs(absl::StatusCode::kCancelled));
    EXPECT_EQ(server.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(ShutdownTest, ChildrenAreToldAlthoughAHandlerThrows) {
  ProcessManager manager;
  Process server = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(server.WaitReady(), IsOk());
  bool second = false;
  manager.OnShutdown([] { throw std::runtime_error("from a handler"); });
  manager.OnShutdown([&] { second = true; });
  EXPECT_THROW(manager.Shutdown().IgnoreError(), std::runtime_error);
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(server.exit_status(), ExitStatus::Exited(kSawShutdown));
  EXPECT_TRUE(second) << "at the next call";
}
#endif

// --- Destruction ---

TEST_F(ShutdownTest, DestructionEndsAndReapsEverythingWithoutHandlers) {
  const Shared<std::atomic<int>> told;
  {
    ProcessManager manager;
    manager.OnShutdown([] { FAIL(); });
    for (int i = 0; i < 10; ++i) {
      Process process = manager.Spawn([&](Self& self) {
        ServeUntilShutdown(self);
        told->fetch_add(1);
      });
      process.OnExit([](const ExitStatus&) { FAIL(); });
      ASSERT_THAT(process.WaitReady(), IsOk());
    }
  }
  EXPECT_EQ(told->load(), 10);
}

TEST_F(ShutdownTest, DestructionKillsWhatIgnoresSigterm) {
  Process deaf;
  {
    ProcessManager manager;
    manager.SetStopPolicy({.grace = absl::Milliseconds(20)});
    deaf = manager.Spawn(IgnoreShutdown);
    ASSERT_THAT(deaf.WaitReady(), IsOk());
  }
  EXPECT_EQ(deaf.exit_status(), ExitStatus::Signaled(SIGKILL));
}

// --- The terminal's Ctrl-C ---

// A terminal whose foreground group is this process's.
class Terminal {
 public:
  Terminal() {
    int keyboard = -1, screen = -1;
    EXPECT_EQ(::openpty(&keyboard, &screen, nullptr, nullptr, nullptr), 0);
    keyboard_.reset(keyboard);
    screen_.reset(screen);
    EXPECT_NE(::setsid(), -1);
    EXPECT_EQ(::ioctl(screen, TIOCSCTTY, 0), 0);
  }
  void PressCtrlC() { EXPECT_EQ(::write(keyboard_.get(), "\x03", 1), 1); }

 private:
  os::UniqueFd keyboard_, screen_;
};

TEST_F(ShutdownTest, CtrlCIsLeftToTheManager) {
  InChild([] {
    Terminal terminal;
    ProcessManager manager;
    Process server = manager.Spawn(ServeUntilShutdown), plain = manager.Spawn(SleepForEver);
    ASSERT_THAT(server.WaitReady(), IsOk());
    terminal.PressCtrlC();
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_TRUE(manager.IsShuttingDown());
    EXPECT_EQ(server.exit_status(), ExitStatus::Exited(kSawShutdown));
    EXPECT_EQ(plain.exit_status(), ExitStatus::Signaled(SIGTERM)) << "and not SIGINT";
  });
}

TEST_F(ShutdownTest, CtrlCIsLeftToTheManagerByANestedManager) {
  InChild([] {
    Terminal terminal;
    ProcessManager manager;
    Process nested = manager.Fork([](Self& self) {
      ProcessManager inner;
      inner.OnShutdown([] {});  // from here on it would see it
      bool interrupted = false;
      self.signals().On(SIGINT, [&](const SignalInfo&) { interrupted = true; }).IgnoreError();
      self.NotifyReady();
      while (!interrupted) self.Sleep(absl::InfiniteDuration());
      inner.Dispatch().IgnoreError();
      return inner.IsShuttingDown() ? 1 : 0;
    });
    ASSERT_THAT(nested.WaitReady(), IsOk());
    terminal.PressCtrlC();
    AwaitExit(nested.pid());
    EXPECT_THAT(nested.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

TEST_F(ShutdownTest, SigintThatAProcessSendsEndsAChild) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_EQ(::kill(process.pid(), SIGINT), 0);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGINT)));
}

}  // namespace
}  // namespace ko
