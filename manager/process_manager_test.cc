#include "ko/manager/process_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ko/manager/test_bodies.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

// Waiting for all, moving managers about, and living beside other code that has children.

namespace ko {
namespace {

using testing::AwaitState;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ProcessManagerTest : public testing::LeakCheckedTest {};

// --- Wait and Dispatch ---

TEST_F(ProcessManagerTest, ExampleOfTheHeaderWorks) {
  ProcessManager manager;
  bool success = false;
  EXPECT_THAT(manager.Fork([](ko::Self& self) { return self.pid() == ::getpid() ? 0 : 1; })
                  .OnSuccess([&] { success = true; })
                  .Wait(),
              IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_TRUE(success);
}

TEST_F(ProcessManagerTest, NewOneIsEmptyAndHasNothingToWaitFor) {
  ProcessManager manager;
  EXPECT_EQ(manager.size(), 0u);
  EXPECT_FALSE(manager.HasAlive());
  EXPECT_FALSE(manager.IsShuttingDown());
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(0));
}

TEST_F(ProcessManagerTest, UnusedOneChangesNothing) {
  const testing::ResourceSnapshot before = testing::ResourceSnapshot::Take();
  ProcessManager manager;
  EXPECT_EQ(testing::ResourceSnapshot::Take().ChangesSince(before), "");
}

TEST_F(ProcessManagerTest, WaitWaitsForAll) {
  ProcessManager manager;
  Gate gate;
  for (int i = 0; i < 10; ++i) manager.Fork([&] { gate.Pass(); });
  EXPECT_EQ(manager.size(), 10u);
  EXPECT_TRUE(manager.HasAlive());
  EXPECT_THAT(manager.Wait(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("10 processes")));
  for (int i = 0; i < 10; ++i) gate.Open();
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(manager.size(), 0u);
}

TEST_F(ProcessManagerTest, WaitWithoutTimeSeesAllThatHaveEnded) {
  ProcessManager manager;
  for (int i = 0; i < 300; ++i) AwaitExit(manager.Fork([] {}).pid());
  EXPECT_THAT(manager.Wait(absl::ZeroDuration()), IsOk());
}

TEST_F(ProcessManagerTest, DispatchHandlesWhatHasHappenedAndSaysHowMuch) {
  ProcessManager manager;
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(0));
  Process first = manager.Fork([] {}), second = manager.Fork([] {}), third = manager.Fork(SleepForEver);
  AwaitExit(first.pid());
  AwaitExit(second.pid());
  EXPECT_EQ(manager.size(), 3u) << "until the next Dispatch";
  EXPECT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOkAndHolds(2));
  EXPECT_EQ(manager.size(), 1u);
  EXPECT_THAT(manager.Dispatch(), IsOkAndHolds(0));
}

TEST_F(ProcessManagerTest, DispatchSleepsUntilTheFirstEvent) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) { self.Sleep(absl::Milliseconds(20)); });
  EXPECT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOkAndHolds(1));
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(0));
}

TEST_F(ProcessManagerTest, DispatchIsZeroWhenTheTimeIsOver) {
  ProcessManager manager;
  manager.Fork(SleepForEver);
  EXPECT_THAT(manager.Dispatch(absl::Milliseconds(5)), IsOkAndHolds(0));
  EXPECT_THAT(manager.Dispatch(-absl::InfiniteDuration()), IsOkAndHolds(0));
}

TEST_F(ProcessManagerTest, SignalsOfTheProgramAreDispatched) {
  InChild([] {
    ProcessManager manager;
    int hangups = 0;
    ASSERT_THAT(manager.signals().On(SIGHUP, [&](const SignalInfo&) { ++hangups; }), IsOk());
    ::raise(SIGHUP);
    EXPECT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOkAndHolds(1));
    EXPECT_EQ(hangups, 1);
  });
}

// The switches are those of the waiting process; what its children do is theirs.
TEST_F(ProcessManagerTest, WaitingMakesNoStepUntilSomethingHappens) {
  ProcessManager outer;
  Process waiting = outer.Fork([](Self& self) {
    ProcessManager manager;
    for (int i = 0; i < 5; ++i) {
      if (!manager.Spawn(ServeUntilShutdown).WaitReady().ok()) return 1;
    }
    self.NotifyReady();
    return manager.Wait().ok() ? 0 : 2;
  });
  ASSERT_THAT(waiting.WaitReady(), IsOk());
  ASSERT_TRUE(AwaitState(waiting.pid(), 'S'));
  const auto switches = [&](const char* kind) {
    const std::string count = testing::StatusLine(waiting.pid(), kind);
    EXPECT_NE(count, "");
    return count;
  };
  const std::string own = switches("voluntary_ctxt_switches"),
                    forced = switches("nonvoluntary_ctxt_switches");
  EXPECT_THAT(outer.Dispatch(absl::Seconds(2)), IsOkAndHolds(0));
  EXPECT_EQ(switches("voluntary_ctxt_switches"), own);
  EXPECT_EQ(switches("nonvoluntary_ctxt_switches"), forced);
  EXPECT_THAT(waiting.Stop(), IsOkAndHolds(ExitStatus::Exited(0)));
}

// --- Managers as values ---

TEST_F(ProcessManagerTest, MovedToManagerHasTheChildrenAndTheMovedFromIsNew) {
  ProcessManager from;
  Gate gate;
  Process process = from.Fork([&] {
    gate.Pass();
    return 3;
  });
  bool told = false;
  process.OnError([&](const ExitStatus&) { told = true; });
  ProcessManager to = std::move(from);
  EXPECT_EQ(from.size(), 0u);  // NOLINT(bugprone-use-after-move): that is the subject
  EXPECT_EQ(to.size(), 1u);
  EXPECT_THAT(from.Wait(), IsOk());
  EXPECT_THAT(from.Fork([] { return 4; }).Wait(), IsOkAndHolds(ExitStatus::Exited(4)));
  gate.Open();
  EXPECT_THAT(to.Wait(), IsOk());
  EXPECT_TRUE(told);
  EXPECT_EQ(process.exit_status(), ExitStatus::Exited(3));
}

TEST_F(ProcessManagerTest, HandleWorksAfterItsManagerHasMoved) {
  std::optional<ProcessManager> from(std::in_place);
  Process process = from->Fork(ServeUntilShutdown);
  ProcessManager to = *std::move(from);
  from.reset();
  EXPECT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(ProcessManagerTest, MovedManagerShutsDownOnSigterm) {
  InChild([] {
    ProcessManager from;
    Process process = from.Spawn(ServeUntilShutdown);
    ProcessManager to = std::move(from);
    ::raise(SIGTERM);
    EXPECT_THAT(to.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

TEST_F(ProcessManagerTest, AssignmentEndsWhatTheTargetRan) {
  ProcessManager target, source;
  Process old = target.Fork(SleepForEver), moved = source.Fork(SleepForEver);
  target = std::move(source);
  EXPECT_EQ(old.exit_status(), ExitStatus::Signaled(SIGTERM));
  EXPECT_EQ(target.size(), 1u);
  EXPECT_TRUE(moved.IsAlive());
}

TEST_F(ProcessManagerTest, AssignmentToItselfChangesNothing) {
  ProcessManager manager;
  Process process = manager.Fork(SleepForEver);
  ProcessManager& same = manager;
  manager = std::move(same);
  EXPECT_EQ(manager.size(), 1u);
  EXPECT_TRUE(process.IsAlive());
}

// --- Beside others ---

TEST_F(ProcessManagerTest, SystemPopenAndWaitpidKeepTheirChildren) {
  ProcessManager manager;
  Process managed = manager.Fork([] { return 3; });
  AwaitExit(managed.pid());
  EXPECT_EQ(WEXITSTATUS(std::system("exit 5")), 5);

  std::FILE* const pipe = ::popen("echo text; exit 6", "r");
  ASSERT_NE(pipe, nullptr);
  const pid_t raw = ::fork();
  if (raw == 0) ::_exit(7);
  AwaitExit(raw);
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(managed.exit_status(), ExitStatus::Exited(3));

  std::array<char, 16> line;
  EXPECT_STREQ(std::fgets(line.data(), line.size(), pipe), "text\n");
  EXPECT_EQ(WEXITSTATUS(::pclose(pipe)), 6);
  int status = 0;
  EXPECT_EQ(::waitpid(raw, &status, 0), raw);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ProcessManagerTest, TwoManagersHaveTheirOwnChildren) {
  ProcessManager first, second;
  Process a = first.Fork([] { return 1; }), b = second.Fork([] { return 2; });
  int told = 0;
  a.OnError([&](const ExitStatus&) { ++told; });
  b.OnError([&](const ExitStatus&) { ++told; });
  AwaitExit(a.pid());
  AwaitExit(b.pid());
  EXPECT_THAT(first.Wait(), IsOk());
  EXPECT_EQ(told, 1);
  EXPECT_EQ(second.size(), 1u);
  EXPECT_THAT(b.Wait(), IsOkAndHolds(ExitStatus::Exited(2)));
  EXPECT_EQ(told, 2);
}

TEST_F(ProcessManagerTest, ChildReapedByOthersIsSeenToHaveEnded) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  int told = 0;
  process.OnExit([&](const ExitStatus&) { ++told; });
  const pid_t pid = process.pid();
  ASSERT_EQ(::waitpid(-1, nullptr, 0), pid);
  EXPECT_THAT(process.Wait(), IsOk());
  EXPECT_FALSE(process.IsAlive());
  EXPECT_EQ(told, 1);
}

TEST_F(ProcessManagerTest, WhereSigchldIsIgnoredEndsAreSeen) {
  InChild([] {
    ::signal(SIGCHLD, SIG_IGN);
    ProcessManager manager;
    for (int i = 0; i < 20; ++i) manager.Fork([] { return 3; });
    EXPECT_THAT(manager.Wait(), IsOk());
  });
}

// --- In a forked child ---

TEST_F(ProcessManagerTest, ChildsCopyDoesNothingToTheParentsChildren) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  InChild([&] {
    EXPECT_EQ(manager.size(), 0u);
    EXPECT_FALSE(manager.HasAlive());
    EXPECT_THAT(manager.Shutdown(), IsOk());
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_TRUE(manager.IsShuttingDown());
  });
  InChild([&] { ProcessManager copy = std::move(manager); });  // and its destructor
  InChild([&] { manager = ProcessManager(); });
  EXPECT_FALSE(manager.IsShuttingDown());
  EXPECT_THAT(process.Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(ProcessManagerTest, ChildsCopyDoesNothingToTheParentsTimers) {
  ProcessManager manager;
  Process process = manager.Spawn([](Self& self) { return self.attempt() == 1 ? 3 : 0; },
                                  {.initial_delay = absl::Milliseconds(20)});
  while (process.pid() != 0) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
  InChild([&] {
    EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk());
    EXPECT_THAT(manager.Shutdown(), IsOk());
  });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ProcessManagerTest, StopPolicyOfTheParentIsNotTheChilds) {
  ProcessManager manager;
  manager.SetStopPolicy({.signal = SIGUSR1});
  InChild([&] {
    Process process = manager.Fork(SleepForEver);
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGTERM));
  });
  InChild([&] {
    manager.SetStopPolicy({.signal = SIGUSR2});
    Process process = manager.Fork(SleepForEver);
    ::raise(SIGTERM);
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_EQ(process.exit_status(), ExitStatus::Signaled(SIGUSR2));
  });
}

TEST_F(ProcessManagerTest, RawForkInASignalHandlerLeavesTheParentsChildrenAlone) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  const pid_t parent = ::getpid();
  pid_t raw = 0;
  ASSERT_THAT(manager.signals().On(SIGUSR1, [&](const SignalInfo&) { raw = ::fork(); }), IsOk());
  ::raise(SIGUSR1);
  absl::StatusOr<int> dispatched = manager.Dispatch();
  if (::getpid() != parent) {
    const bool works = dispatched.ok() && manager.Wait().ok() && manager.Fork([] { return 4; }).Wait().ok();
    ::_exit(works ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(raw, &status, 0), raw);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

// --- Threads ---

TEST_F(ProcessManagerTest, StartBesideAnotherThreadIsRefusedWithTheReason) {
  ProcessManager manager;
  std::promise<void> done;
  std::thread thread([&] { done.get_future().wait(); });
  Process process = manager.Fork([] {});
  done.set_value();
  thread.join();
  const absl::StatusOr<ExitStatus> status = process.Wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_TRUE(status->start_error().has_value());
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("threads")));
  EXPECT_THAT(manager.Fork([] {}).Wait(), IsOkAndHolds(ExitStatus::Exited(0))) << "the thread is gone";
}

}  // namespace
}  // namespace ko
