#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Deadlines of LivenessPolicy, missed and kept by real processes.

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class LivenessTest : public testing::LeakCheckedTest {};

std::atomic<int>* told = nullptr;
void Note(int signo) { told->store(signo); }

TEST_F(LivenessTest, MissedStartDeadlineEndsItAndSaysSo) {
  ProcessManager manager;
  Process process =
      manager.Fork([](Self&) { SleepForEver(); },
                   {.ready = ReadyWhen::kNotified,
                    .liveness = {.start_deadline = absl::Milliseconds(50), .hung_signal = SIGUSR1}});
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGUSR1)));
  EXPECT_EQ(process.exit_event()->reason, "missed its start deadline");
}

TEST_F(LivenessTest, KeptStartDeadlineIsNoneAnyMore) {
  ProcessManager manager;
  Process process = manager.Fork(
      ServeUntilShutdown, {.ready = ReadyWhen::kNotified, .liveness = {.start_deadline = absl::Hours(1)}});
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(LivenessTest, EarlyDeathIsToldAtOnce) {
  ProcessManager manager;
  Process process = manager.Fork([](Self&) { return 4; }, {.ready = ReadyWhen::kNotified,
                                                           .liveness = {.start_deadline = absl::Hours(1)}});
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(LivenessTest, OneThatHangsHearsTheSignalAndIsKilledThen) {
  const Shared<std::atomic<int>> shared;
  told = &*shared;
  ProcessManager manager;
  Process process = manager.Fork(
      [](Self& self) {
        ::signal(SIGUSR1, Note);
        self.NotifyReady();
        SleepForEver();
      },
      {.ready = ReadyWhen::kNotified,
       .liveness = {.heartbeat_deadline = absl::Milliseconds(50),
                    .hung_signal = SIGUSR1,
                    .hung_grace = absl::Milliseconds(300)}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_EQ(told->load(), SIGUSR1);
  EXPECT_EQ(process.exit_event()->reason, "missed its heartbeat deadline");
}

TEST_F(LivenessTest, HeartbeatsKeepItHoweverLongItRuns) {
  ProcessManager manager;
  Process process = manager.Fork(
      [](Self& self) {
        // Longer than a deadline, which is long beside a heartbeat.
        for (const absl::Time end = absl::Now() + absl::Milliseconds(2500); absl::Now() < end;) {
          self.Heartbeat();
          self.Sleep(absl::Milliseconds(5));
        }
        return 7;
      },
      {.liveness = {.heartbeat_deadline = absl::Seconds(2)}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
}

TEST_F(LivenessTest, MissedHeartbeatAsksForADumpFirst) {
  ProcessManager manager;
  std::vector<ProcessEvent> hung;
  manager.OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kHung) hung.push_back(event);
  });
  Process process = manager.Fork(
      [](Self&) {
        const rlimit no_core = {0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        SleepForEver();
      },
      {.liveness = {.heartbeat_deadline = absl::Milliseconds(30)}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGABRT)));
  ASSERT_EQ(hung.size(), 1u);
  EXPECT_EQ(hung[0].signal, SIGABRT);
  EXPECT_THAT(hung[0].reason, ::testing::HasSubstr("heartbeat"));
}

TEST_F(LivenessTest, TaskThatTakesTooLongEndsIt) {
  ProcessManager manager;
  Process process = manager.Fork(
      [](Self& self) {
        self.BeginTask();
        self.EndTask();
        self.BeginTask();
        self.NotifyReady();
        SleepForEver();
      },
      {.ready = ReadyWhen::kNotified,
       .liveness = {.task_deadline = absl::Milliseconds(50), .hung_signal = SIGKILL}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_EQ(process.exit_event()->reason, "missed its task deadline");
}

TEST_F(LivenessTest, RestartFollowsByThePolicy) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() == 1) SleepForEver();
      },
      {.initial_delay = absl::ZeroDuration()},
      {.ready = ReadyWhen::kNotified,
       .liveness = {.start_deadline = absl::Seconds(1), .hung_signal = SIGKILL}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 1);
}

}  // namespace
}  // namespace ko
