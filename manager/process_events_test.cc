#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "ko/manager/process.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// The handlers of Process: each event is told exactly once, whichever call noticed it, and a handler may do anything.

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::Gate;
using testing::InChild;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ProcessEventsTest : public testing::LeakCheckedTest {
 protected:
  // Lets `process` write what it is told into log_, in the order of the calls.
  void Record(Process& process) {
    process.OnExit([this](const ExitStatus& status) { log_.push_back("exit: " + status.ToString()); })
        .OnError([this](const ExitStatus& status) { log_.push_back("error: " + status.ToString()); })
        .OnSuccess([this] { log_.push_back("success"); })
        .OnReady([this] { log_.push_back("ready"); });
  }
  static constexpr RestartPolicy kAtOnce = {.initial_delay = absl::ZeroDuration(),
                                            .max_delay = absl::Milliseconds(1)};

  std::vector<std::string> log_;
};

constexpr char kError3[] = "error: exited with code 3";
constexpr char kExit3[] = "exit: exited with code 3";
constexpr char kExit0[] = "exit: exited with code 0";

// --- Exactly once ---

TEST_F(ProcessEventsTest, SuccessIsToldBeforeExit) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  Record(process);
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("success", kExit0));
}

TEST_F(ProcessEventsTest, ErrorIsToldBeforeExit) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  Record(process);
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre(kError3, kExit3));
}

TEST_F(ProcessEventsTest, ReadyIsToldBeforeTheEnd) {
  ProcessManager manager;
  Process process = manager.Fork([](Self& self) {
    self.NotifyReady();
    self.NotifyReady();
    return 3;
  });
  Record(process);
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("ready", kError3, kExit3));
}

TEST_F(ProcessEventsTest, OnceWhicheverCallReapsFirst) {
  const std::vector<std::function<void(ProcessManager&, Process&)>> reapers = {
      [](ProcessManager& manager, Process&) { EXPECT_THAT(manager.Dispatch(), IsOk()); },
      [](ProcessManager& manager, Process&) { EXPECT_THAT(manager.Wait(), IsOk()); },
      [](ProcessManager&, Process& process) { EXPECT_THAT(process.Wait(), IsOk()); },
      [](ProcessManager&, Process& process) {
        EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted));
      },
      [](ProcessManager& manager, Process&) {
        EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk());
        EXPECT_THAT(manager.Wait(), IsOk());
      },
      [](ProcessManager& manager, Process&) { EXPECT_THAT(manager.Shutdown(), IsOk()); },
  };
  for (const auto& first : reapers) {
    for (const auto& second : reapers) {
      ProcessManager manager;
      Process process = manager.Fork([] { return 3; });
      Record(process);
      AwaitExit(process.pid());
      first(manager, process);
      EXPECT_THAT(log_, ElementsAre(kError3, kExit3));
      second(manager, process);
      EXPECT_THAT(std::exchange(log_, {}), ElementsAre(kError3, kExit3));
      EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
    }
  }
}

TEST_F(ProcessEventsTest, SeveralHandlersRunInTheirOrder) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  for (const char* name : {"1", "2", "3"}) process.OnSuccess([this, name] { log_.push_back(name); });
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("1", "2", "3"));
}

TEST_F(ProcessEventsTest, HandlerAddedAfterTheEndRunsInTheNextWait) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  ASSERT_THAT(process.Wait(), IsOk());
  Record(process);
  EXPECT_THAT(log_, IsEmpty()) << "not in the call that adds it";
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre(kError3, kExit3)) << "OnError first here too";
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_EQ(log_.size(), 2u);
}

TEST_F(ProcessEventsTest, HandlerAddedAfterTheEndRunsInTheNextDispatch) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  ASSERT_THAT(manager.Wait(), IsOk());
  Record(process);
  EXPECT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk()) << "does not sleep";
  EXPECT_THAT(log_, ElementsAre(kError3, kExit3));
}

TEST_F(ProcessEventsTest, HandlersBeforeAndAfterTheEndBothRunOnce) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  process.OnError([this](const ExitStatus&) { log_.push_back("before"); });
  ASSERT_THAT(process.Wait(), IsOk());
  process.OnError([this](const ExitStatus&) { log_.push_back("after"); });
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("before", "after"));
}

TEST_F(ProcessEventsTest, OnReadyAddedAfterReadinessRunsInTheNextWait) {
  ProcessManager manager;
  Process process = manager.Fork(ServeUntilShutdown);
  ASSERT_THAT(process.WaitReady(), IsOk());
  process.OnReady([this] { log_.push_back("ready"); });
  EXPECT_THAT(log_, IsEmpty());
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(log_, ElementsAre("ready"));
  ASSERT_THAT(process.Stop(), IsOk());
  EXPECT_THAT(log_, ElementsAre("ready"));
}

TEST_F(ProcessEventsTest, OnReadyOfOneThatIsNeverReadyDoesNotRun) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  process.OnReady([] { FAIL(); });
  ASSERT_THAT(process.Wait(), IsOk());
  process.OnReady([] { FAIL(); });
  ASSERT_THAT(process.Wait(), IsOk());
}

TEST_F(ProcessEventsTest, FailedStartIsToldToHandlersAddedAfterIt) {
  ProcessManager manager;
  Process process = manager.Fork(std::function<void()>());
  Record(process);
  EXPECT_THAT(log_, IsEmpty());
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_EQ(log_.size(), 2u);
}

TEST_F(ProcessEventsTest, EachAttemptIsTold) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        self.NotifyReady();
        return self.attempt() < 3 ? 3 : 0;
      },
      kAtOnce);
  Record(process);
  ASSERT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(log_,
              ElementsAre("ready", kError3, kExit3, "ready", kError3, kExit3, "ready", "success", kExit0));
}

TEST_F(ProcessEventsTest, DroppingTheHandleLosesNothing) {
  ProcessManager manager;
  {
    Process process = manager.Fork([] { return 3; });
    Record(process);
  }
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre(kError3, kExit3));
}

TEST_F(ProcessEventsTest, HandlersNeverRunInsideForkOrTheDestructor) {
  {
    ProcessManager manager;
    for (int i = 0; i < 20; ++i) {
      Process process = manager.Fork([] {});
      Record(process);
      AwaitExit(process.pid());
    }
    EXPECT_THAT(log_, IsEmpty());
  }
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(ProcessEventsTest, HandlersRunOnceInTheOwnersProcessOnly) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  Record(process);
  AwaitExit(process.pid());
  InChild([&] {
    EXPECT_THAT(manager.Wait(), IsOk());
    EXPECT_THAT(log_, IsEmpty());
  });
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(log_.size(), 2u);
}

// --- What a handler may do ---

TEST_F(ProcessEventsTest, HandlerMayForkAndWaitForIt) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  process.OnSuccess([&] {
    EXPECT_THAT(manager.Fork([] { return 4; }).Wait(), IsOkAndHolds(ExitStatus::Exited(4)));
    log_.push_back("handler");
  });
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("handler"));
}

TEST_F(ProcessEventsTest, ManagerWaitWaitsForWhatAHandlerStarted) {
  ProcessManager manager;
  int generations = 0;
  std::function<void()> fork_next = [&] {
    if (++generations < 5) manager.Fork([] {}).OnSuccess(fork_next);
  };
  fork_next();
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(generations, 5);
}

TEST_F(ProcessEventsTest, HandlerMaySpawnAndStop) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  process.OnSuccess([&] {
    Process spawned = manager.Spawn(ServeUntilShutdown);
    EXPECT_THAT(spawned.WaitReady(), IsOk());
    EXPECT_THAT(spawned.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
    log_.push_back("handler");
  });
  ASSERT_THAT(manager.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("handler"));
}

TEST_F(ProcessEventsTest, HandlerMayWaitForItsOwnProcess) {
  ProcessManager manager;
  Process process = manager.Fork([] { return 3; });
  process.OnError([&](const ExitStatus&) {
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
    log_.push_back("handler");
  });
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("handler"));
}

TEST_F(ProcessEventsTest, HandlerMayAddHandlers) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  process.OnSuccess([&] {
    log_.push_back("first");
    process.OnSuccess([&] { log_.push_back("second"); });
  });
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(log_, ElementsAre("first", "second"));
}

TEST_F(ProcessEventsTest, HandlerMayDestroyTheHandleThatIsWaitedOn) {
  ProcessManager manager;
  auto process = std::make_unique<Process>(manager.Fork([] { return 3; }));
  process->OnExit([&](const ExitStatus&) { process.reset(); });
  EXPECT_THAT(process->Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(process, nullptr);

  process = std::make_unique<Process>(manager.Fork(ServeUntilShutdown));
  process->OnReady([&] { process.reset(); });
  EXPECT_THAT(process->WaitReady(), IsOk());
  EXPECT_EQ(process, nullptr);
}

TEST_F(ProcessEventsTest, HandlerThatHoldsItsOwnHandleIsFreedAfterTheEnd) {
  const auto token = std::make_shared<int>();
  {
    ProcessManager manager;
    Process process = manager.Fork([] {});
    process.OnExit([process, token](const ExitStatus&) {});
    ASSERT_THAT(manager.Wait(), IsOk());
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(ProcessEventsTest, HandlerThatHoldsItsOwnHandleIsFreedWithTheManager) {
  const auto token = std::make_shared<int>();
  {
    ProcessManager manager;
    Process process = manager.Fork(SleepForEver);
    process.OnExit([process, token](const ExitStatus&) {});
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(ProcessEventsTest, HandlerThatHoldsItsOwnHandleIsFreedWhenStoppedBetweenAttempts) {
  const auto token = std::make_shared<int>();
  {
    ProcessManager manager;
    Process process = manager.Spawn(
        [] { return 1; }, {.initial_delay = absl::Hours(1), .max_delay = absl::Hours(1), .jitter = 0});
    process.OnExit([process, token](const ExitStatus&) {});
    while (process.pid() != 0) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
    EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(1)));
    EXPECT_EQ(token.use_count(), 1);
  }
}

// What the body captured is freed as soon as it cannot run again.
TEST_F(ProcessEventsTest, BodyIsFreedAtTheEnd) {
  const auto token = std::make_shared<int>();
  ProcessManager manager;
  Process process = manager.Fork([token] {});
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_EQ(token.use_count(), 1);
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(ProcessEventsTest, ExceptionOfAHandlerReachesTheCallerAndTheOthersRunNextTime) {
  ProcessManager manager;
  Process process = manager.Fork([] {});
  process.OnSuccess([&] { log_.push_back("1"); });
  process.OnSuccess([] { throw std::runtime_error("from a handler"); });
  process.OnSuccess([&] { log_.push_back("3"); });
  EXPECT_THROW(process.Wait().IgnoreError(), std::runtime_error);
  EXPECT_THAT(log_, ElementsAre("1"));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(log_, ElementsAre("1", "3"));
}
#endif

// --- A handler may destroy the manager ---

TEST_F(ProcessEventsTest, HandlerMayDestroyTheManagerInTheProcesssWait) {
  auto manager = std::make_unique<ProcessManager>();
  Process other = manager->Fork(SleepForEver);
  Process process = manager->Fork([] { return 3; });
  process.OnExit([&](const ExitStatus&) { manager.reset(); });
  process.OnExit([](const ExitStatus&) { FAIL() << "handlers do not outlive the manager"; });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(other.exit_status(), ExitStatus::Signaled(SIGTERM));
}

TEST_F(ProcessEventsTest, HandlerMayDestroyTheManagerInTheManagersWait) {
  auto manager = std::make_unique<ProcessManager>();
  manager->Fork([] {}).OnSuccess([&] { manager.reset(); });
  EXPECT_THAT(manager->Wait(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProcessEventsTest, HandlerMayDestroyTheManagerInDispatch) {
  auto manager = std::make_unique<ProcessManager>();
  manager->Fork([] {}).OnSuccess([&] { manager.reset(); });
  EXPECT_THAT(manager->Dispatch(absl::InfiniteDuration()), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProcessEventsTest, HandlerOfAFailedStartMayDestroyTheManager) {
  auto manager = std::make_unique<ProcessManager>();
  manager->Fork(SleepForEver);
  Process process = manager->Fork(std::function<void()>());
  process.OnError([&](const ExitStatus&) { manager.reset(); });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::NotStarted(EINVAL)));
}

TEST_F(ProcessEventsTest, HandlerInANestedWaitMayDestroyTheManager) {
  auto manager = std::make_unique<ProcessManager>();
  Process inner = manager->Fork([] { return 3; });
  Process outer = manager->Fork([] {});
  manager->Fork(std::function<void()>()).OnError([&](const ExitStatus&) {
    inner.OnExit([&](const ExitStatus&) { manager.reset(); });
    EXPECT_THAT(inner.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  });
  EXPECT_THAT(manager->Wait(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProcessEventsTest, HandlerMayDestroyTheManagerWhileASignalIsBeingHandled) {
  InChild([] {
    auto manager = std::make_unique<ProcessManager>();
    Process process = manager->Fork([] { return 3; });
    process.OnExit([&](const ExitStatus&) { manager.reset(); });
    ASSERT_THAT(manager->signals().On(SIGUSR1, [&](const SignalInfo&) { process.Wait().IgnoreError(); }),
                IsOk());
    ::raise(SIGUSR1);
    EXPECT_THAT(manager->Dispatch(absl::InfiniteDuration()), StatusIs(absl::StatusCode::kCancelled));
    EXPECT_EQ(manager, nullptr);
  });
}

TEST_F(ProcessEventsTest, HandlerAddedByTheHandlerThatDestroyedTheManagerIsDropped) {
  const auto token = std::make_shared<int>();
  auto manager = std::make_unique<ProcessManager>();
  Process process = manager->Fork([] {});
  process.OnSuccess([&] {
    manager.reset();
    process.OnExit([process, token](const ExitStatus&) { FAIL(); });
  });
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(ProcessEventsTest, HandlerMayReplaceTheManager) {
  ProcessManager manager;
  Process old = manager.Fork(SleepForEver);
  manager.Fork([] {}).OnSuccess([&] { manager = ProcessManager(); });
  EXPECT_THAT(manager.Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(old.exit_status(), ExitStatus::Signaled(SIGTERM));
  EXPECT_THAT(manager.Fork([] { return 3; }).Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
}

TEST_F(ProcessEventsTest, HandlerMayMoveTheManagerAwayAndTheWaitGoesOn) {
  ProcessManager manager;
  std::optional<ProcessManager> target;
  Gate gate;
  Process last = manager.Fork([&] { gate.Pass(); });
  manager.Fork([] {}).OnSuccess([&] {
    target = std::move(manager);
    gate.Open();
  });
  EXPECT_THAT(manager.Wait(), IsOk());
  EXPECT_EQ(last.exit_status(), ExitStatus::Exited(0));
}

// A handler that forks by itself has two returns; in the child the other handlers are the parent's.
TEST_F(ProcessEventsTest, ChildThatAHandlerForkedRunsNoneOfTheOtherHandlers) {
  ProcessManager manager;
  const Shared<int> calls_in_child;
  const pid_t parent = ::getpid();
  pid_t raw = 0;
  Process process = manager.Fork([] {});
  process.OnSuccess([&] { raw = ::fork(); });
  process.OnExit([&](const ExitStatus&) {
    if (::getpid() != parent) ++*calls_in_child;
  });
  const absl::Status waited = manager.Wait();
  if (::getpid() != parent) ::_exit(0);
  ASSERT_THAT(waited, IsOk());
  ASSERT_EQ(::waitpid(raw, nullptr, 0), raw);
  EXPECT_EQ(*calls_in_child, 0);
}

}  // namespace
}  // namespace ko
