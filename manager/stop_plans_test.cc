#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <utility>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Stop plans, obeyed by real processes.

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;

class StopPlansTest : public testing::LeakCheckedTest {};

ProcessOptions With(StopPlan plan) { return {.ready = ReadyWhen::kNotified, .stop = std::move(plan)}; }

struct Heard {
  std::atomic<int> count;
  std::atomic<int> signals[8];
};
Heard* heard = nullptr;

void Hear(int signo) {
  const int at = heard->count.fetch_add(1);
  if (at < 8) heard->signals[at].store(signo);
}

// Notes which signals it gets, and goes on.
void Listen(Self& self) {
  for (const int signo : {SIGUSR1, SIGUSR2, SIGQUIT}) ::signal(signo, Hear);
  self.NotifyReady();
  for (;;) ::pause();
}

TEST_F(StopPlansTest, StepsAreObeyedInOrderAndKillIsLast) {
  const Shared<Heard> shared;
  heard = &*shared;
  ProcessManager manager;
  Process process = manager.Spawn(Listen, {},
                                  With({.steps = {{SIGUSR2, absl::Milliseconds(200)},
                                                  {SIGQUIT, absl::Milliseconds(200)},
                                                  {SIGUSR1, absl::Milliseconds(200)}}}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  ASSERT_EQ(heard->count.load(), 3);
  EXPECT_EQ(heard->signals[0].load(), SIGUSR2);
  EXPECT_EQ(heard->signals[1].load(), SIGQUIT);
  EXPECT_EQ(heard->signals[2].load(), SIGUSR1);
  EXPECT_EQ(process.exit_event()->reason, "stopped");
}

TEST_F(StopPlansTest, NoStepsKillAtOnce) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, {}, With({.steps = {}}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
}

TEST_F(StopPlansTest, PolicyOfTheShutdownIsEveryOnes) {
  ProcessManager manager;
  Process process = manager.Spawn(IgnoreShutdown, {}, With({.steps = {{SIGTERM, absl::Hours(1)}}}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(manager.Shutdown({.signal = SIGTERM, .grace = absl::ZeroDuration()}), IsOk());
  EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGKILL));
}

TEST_F(StopPlansTest, SecondStopMakesHaste) {
  ProcessManager manager;
  Process process = manager.Spawn(IgnoreShutdown, {}, With({.steps = {{SIGTERM, absl::Hours(1)}}}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  bool asked = false;
  manager.OnEvent([&](const ProcessEvent& event) {
    if (event.kind != ProcessEvent::Kind::kStopping || std::exchange(asked, true)) return;
    EXPECT_THAT(process.Stop({.grace = absl::ZeroDuration()}), IsOk());
  });
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_TRUE(asked);
}

// Its end is an end of file for the test: all that hold the write end are gone.
struct Family {
  int pipe[2];
  Family() { EXPECT_EQ(::pipe2(pipe, O_CLOEXEC), 0); }
  ~Family() { ::close(pipe[0]); }
  void AwaitEnd() {
    ::close(pipe[1]);
    char byte;
    EXPECT_EQ(::read(pipe[0], &byte, 1), 0);
    // The orphans are this process's now.
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
  }
};

// A child and a grandchild that hear nothing but SIGKILL.
void Multiply(bool own_session) {
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) ::_exit(99);
  if (::fork() == 0) {
    if (own_session) ::setsid();
    ::signal(SIGTERM, SIG_IGN);
    if (::fork() >= 0) ::close(ready[1]);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char byte;
  if (::read(ready[0], &byte, 1) != 0) ::_exit(99);  // both have closed theirs
}

TEST_F(StopPlansTest, GroupDiesWithItsLeader) {
  Family family;
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        Multiply(/*own_session=*/false);
        return ServeUntilShutdown(self);
      },
      {}, With({.target = StopTarget::kGroup}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  family.AwaitEnd();
}

TEST_F(StopPlansTest, TreeDiesWithItsRootThoughItMadeSessionsOfItsOwn) {
  Family family;
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        Multiply(/*own_session=*/true);
        IgnoreShutdown(self);
      },
      {}, With({.steps = {{SIGTERM, absl::Milliseconds(100)}}, .target = StopTarget::kTree}));
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  family.AwaitEnd();
}

TEST_F(StopPlansTest, LeftoversOfOneThatExitsAreKilled) {
  for (const StopTarget target : {StopTarget::kGroup, StopTarget::kTree}) {
    Family family;
    ProcessManager manager;
    Process process =
        manager.Fork([] { Multiply(/*own_session=*/false); }, {.stop = StopPlan{.target = target}});
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
    family.AwaitEnd();
  }
}

TEST_F(StopPlansTest, LeftoversOfOneThatCrashesAreKilled) {
  for (const StopTarget target : {StopTarget::kGroup, StopTarget::kTree}) {
    Family family;
    ProcessManager manager;
    Process process = manager.Fork(
        [] {
          Multiply(/*own_session=*/false);
          ::raise(SIGKILL);
        },
        {.stop = StopPlan{.target = target}});
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
    family.AwaitEnd();
  }
}

}  // namespace
}  // namespace ko
