#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>

#include "absl/base/config.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// ProcessManager::poll_fd in a loop of the program's own: readable exactly when Dispatch has something to do.

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;

class PollFdTest : public testing::LeakCheckedTest {
 protected:
  static bool IsReadable(ProcessManager& manager) {
    pollfd fd = {manager.poll_fd(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
  }
  static void AwaitReadable(ProcessManager& manager) {
    pollfd fd = {manager.poll_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&fd, 1, -1), 1);
  }
  // Until there is nothing to do: then it must not be readable either.
  static void DispatchAll(ProcessManager& manager) {
    while (IsReadable(manager)) ASSERT_THAT(manager.Dispatch(), IsOk());
    EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(0));
  }
  // What the next round finds, in this order.
  static void RaiseAndEnd(int signo, Process& process) {
    ASSERT_EQ(::raise(signo), 0);
    const pid_t pid = process.pid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    siginfo_t info;
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }
};

TEST_F(PollFdTest, WithoutEventsItIsNotReadable) {
  ProcessManager manager;
  EXPECT_FALSE(IsReadable(manager));
  manager.Fork(SleepForEver);
  EXPECT_FALSE(IsReadable(manager));
}

TEST_F(PollFdTest, ExitMakesItReadable) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  AwaitReadable(manager);
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(1));
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(3));
  EXPECT_FALSE(IsReadable(manager));
}

TEST_F(PollFdTest, ReadinessMakesItReadable) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  AwaitReadable(manager);
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(1));
  EXPECT_TRUE(process.IsReady());
  EXPECT_FALSE(IsReadable(manager));
}

TEST_F(PollFdTest, SignalMakesItReadable) {
  InChild([] {
    ProcessManager manager;
    ASSERT_THAT(manager.signals().On(SIGHUP, [](const SignalInfo&) {}), IsOk());
    EXPECT_FALSE(IsReadable(manager));
    ::raise(SIGHUP);
    EXPECT_TRUE(IsReadable(manager));
    EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(1));
    EXPECT_FALSE(IsReadable(manager));
  });
}

TEST_F(PollFdTest, RestartThatIsDueMakesItReadable) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() == 1) return 3;
        return ServeUntilShutdown(self);
      },
      {.initial_delay = absl::Milliseconds(10)});
  AwaitReadable(manager);
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(1)) << "the exit";
  AwaitReadable(manager);
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(1)) << "the restart";
  EXPECT_EQ(process.restarts(), 1);
  EXPECT_NE(process.pid(), 0);
}

TEST_F(PollFdTest, GraceTimeThatIsOverMakesItReadable) {
  InChild([] {
    ProcessManager manager;
    manager.SetStopPolicy({.grace = absl::Milliseconds(10)});
    Process deaf = manager.Fork(IgnoreShutdown);
    ASSERT_THAT(deaf.WaitReady(), IsOk());
    ::raise(SIGTERM);
    while (manager.HasAlive()) {
      AwaitReadable(manager);
      ASSERT_THAT(manager.Dispatch(), IsOk());
    }
    EXPECT_EQ(deaf.exit_status(), ExitStatus::Signaled(SIGKILL));
    EXPECT_FALSE(IsReadable(manager));
  });
}

TEST_F(PollFdTest, FailedStartMakesItReadable) {
  ProcessManager manager;
  bool told = false;
  manager.Fork(std::function<void()>()).OnError([&](const ExitStatus&) { told = true; });
  EXPECT_TRUE(IsReadable(manager));
  DispatchAll(manager);
  EXPECT_TRUE(told);
}

TEST_F(PollFdTest, HandlerAddedAfterTheEventMakesItReadable) {
  ProcessManager manager;
  int told = 0;
  Process process = manager.Fork([](Self& self) { self.NotifyReady(); });
  ASSERT_THAT(process.Wait(), IsOk());
  DispatchAll(manager);
  process.OnSuccess([&] { ++told; });
  EXPECT_TRUE(IsReadable(manager));
  DispatchAll(manager);
  EXPECT_EQ(told, 1);
  process.OnReady([&] { ++told; });
  EXPECT_TRUE(IsReadable(manager));
  DispatchAll(manager);
  EXPECT_EQ(told, 2);
  process.OnError([&](const ExitStatus&) { ++told; });
  DispatchAll(manager);
  EXPECT_EQ(told, 2);
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(PollFdTest, HandlersThatAnExceptionKeptFromRunningMakeItReadable) {
  ProcessManager manager;
  bool told = false;
  Process process = manager.Fork([] {});
  process.OnSuccess([] { throw std::runtime_error("from a handler"); });
  process.OnExit([&](const ExitStatus&) { told = true; });
  AwaitReadable(manager);
  EXPECT_THROW(manager.Dispatch().IgnoreError(), std::runtime_error);
  EXPECT_TRUE(IsReadable(manager));
  DispatchAll(manager);
  EXPECT_TRUE(told);
}

TEST_F(PollFdTest, EndBehindASignalWhoseHandlerThrowsIsStillToBeHandled) {
  InChild([] {
    ProcessManager manager;
    ASSERT_THAT(
        manager.signals().On(SIGHUP, [](const SignalInfo&) { throw std::runtime_error("from a handler"); }),
        IsOk());
    Process process = manager.Fork(SleepForEver);
    RaiseAndEnd(SIGHUP, process);
    EXPECT_THROW(manager.Dispatch().IgnoreError(), std::runtime_error);
    EXPECT_TRUE(process.IsAlive());
    EXPECT_TRUE(IsReadable(manager));
    DispatchAll(manager);
    EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGKILL));
  });
}
#endif

TEST_F(PollFdTest, SignalsHandlerFindsTheEndBehindTheSignal) {
  InChild([] {
    ProcessManager manager;
    Process process = manager.Fork(SleepForEver);
    ASSERT_THAT(manager.signals().On(SIGHUP,
                                     [&](const SignalInfo&) {
                                       EXPECT_THAT(process.Wait(),
                                                   IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
                                     }),
                IsOk());
    RaiseAndEnd(SIGHUP, process);
    EXPECT_THAT(manager.Dispatch(), IsOk());
    EXPECT_FALSE(process.IsAlive());
  });
}

TEST_F(PollFdTest, EpollLoopOfTheProgramSeesEverything) {
  ProcessManager manager;
  const os::UniqueFd loop(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(loop.get(), EPOLL_CTL_ADD, manager.poll_fd(), &event), 0);
  int successes = 0, ready = 0;
  for (int i = 0; i < 100; ++i) {
    manager
        .Spawn(
            [](Self& self) {
              self.NotifyReady();
              return self.attempt() == 1 ? 3 : 0;
            },
            {.initial_delay = absl::Milliseconds(1)})
        .OnSuccess([&] { ++successes; })
        .OnReady([&] { ++ready; });
  }
  while (manager.HasAlive()) {
    ASSERT_EQ(::epoll_wait(loop.get(), &event, 1, -1), 1);
    ASSERT_THAT(manager.Dispatch(), IsOk());
  }
  EXPECT_EQ(successes, 100);
  EXPECT_EQ(ready, 200);
}

}  // namespace
}  // namespace ko
