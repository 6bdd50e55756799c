#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// What OnEvent tells, and in which order, for all that can become of a process.

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using Kind = ProcessEvent::Kind;

RestartPolicy AtOnce(RestartPolicy::When when, int max_restarts) {
  RestartPolicy policy;
  policy.when = when;
  policy.initial_delay = policy.max_delay = absl::ZeroDuration();
  policy.max_restarts = max_restarts;
  return policy;
}

class EventStreamTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    manager_.OnEvent([this](const ProcessEvent& event) {
      events_.push_back(event);
      told_.push_back(absl::StrCat(event.name, " ", KindName(event.kind)));
    });
  }
  void TearDown() override {
    manager_ = ProcessManager();
    LeakCheckedTest::TearDown();
  }

  ProcessManager manager_;
  std::vector<ProcessEvent> events_;
  std::vector<std::string> told_;
};

TEST_F(EventStreamTest, NormalEnd) {
  Process process = manager_.Fork([] { return 3; }, {.name = "a"});
  const pid_t pid = process.pid();
  ASSERT_THAT(manager_.Wait(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a exited"));
  EXPECT_EQ(events_[0].pid, pid);
  EXPECT_EQ(events_[0].attempt, 1);
  EXPECT_EQ(events_[1].pid, pid);
  EXPECT_EQ(events_[1].exit->status, ExitStatus::Exited(3));
  EXPECT_LE(events_[0].monotonic, events_[1].monotonic);
  EXPECT_EQ(events_[0].id, events_[1].id);
}

TEST_F(EventStreamTest, Readiness) {
  Process process = manager_.Fork(ServeUntilShutdown, {.name = "a", .ready = ReadyWhen::kNotified});
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Stop(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a ready", "a stopping", "a exited"));
  EXPECT_EQ(events_[2].signal, SIGTERM);
}

TEST_F(EventStreamTest, RestartsUpToTheLimit) {
  manager_.Spawn([] { return 1; }, AtOnce(RestartPolicy::When::kOnFailure, 2), {.name = "a"});
  ASSERT_THAT(manager_.Wait(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a exited", "a restarting", "a started", "a exited",
                                 "a restarting", "a started", "a exited", "a gave up"));
  EXPECT_EQ(events_[3].attempt, 2);
  EXPECT_FALSE(events_.back().reason.empty());
}

TEST_F(EventStreamTest, StartThatFails) {
  manager_.Spawn(Command{.argv = {"/no/such/program"}}, {.when = RestartPolicy::When::kNever}, {.name = "a"});
  ASSERT_THAT(manager_.Wait(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a exited"));
  EXPECT_EQ(events_[0].exit->status.start_error(), ENOENT);
  EXPECT_EQ(events_[0].pid, 0);
}

TEST_F(EventStreamTest, StartDeadlineThatIsMissed) {
  Process process = manager_.Fork(
      [](Self&) { SleepForEver(); },
      {.name = "a", .ready = ReadyWhen::kNotified, .liveness = {.start_deadline = absl::Milliseconds(20)}});
  ASSERT_THAT(process.Wait(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a hung", "a exited"));
  EXPECT_FALSE(events_[1].reason.empty());
}

TEST_F(EventStreamTest, StopThatTakesSigkill) {
  Process process = manager_.Fork(
      IgnoreShutdown, {.name = "a",
                       .ready = ReadyWhen::kNotified,
                       .stop = StopPlan{.steps = {{.signal = SIGTERM, .wait = absl::Milliseconds(20)}}}});
  ASSERT_THAT(process.WaitReady(), IsOk());
  ASSERT_THAT(process.Stop(), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a ready", "a stopping", "a killed", "a exited"));
  EXPECT_EQ(events_.back().exit->status, ExitStatus::Signaled(SIGKILL));
}

TEST_F(EventStreamTest, Recycling) {
  Process process = manager_.Spawn(
      [](Self& self) {
        self.NotifyReady();
        if (self.attempt() == 1) self.EndTask();
        while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
      },
      AtOnce(RestartPolicy::When::kOnFailure, 2),
      {.name = "a", .ready = ReadyWhen::kNotified, .recycle = {.max_tasks = 1}});
  while (told_.size() < 7) ASSERT_THAT(manager_.Dispatch(absl::InfiniteDuration()), IsOk());
  EXPECT_THAT(told_, ElementsAre("a started", "a ready", "a recycling", "a started", "a ready", "a replaced",
                                 "a stopping"));
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(EventStreamTest, GroupThatEnds) {
  Group group = manager_.Group(Strategy::kOneForOne, {.name = "g"});
  Process member = group.Fork([] { return 0; }, {.name = "a"});
  ASSERT_THAT(group.Stop(), IsOk());
  ASSERT_THAT(manager_.Wait(), IsOk());
  EXPECT_EQ(told_.back(), absl::StrCat("g ", KindName(Kind::kGroupEnded)));
  EXPECT_EQ(events_[0].group, "g");
}

TEST_F(EventStreamTest, SeveralHandlersEachHearAllInTheSameOrder) {
  std::vector<std::string> others;
  manager_.OnEvent([&](const ProcessEvent& event) {
    others.push_back(absl::StrCat(event.name, " ", KindName(event.kind)));
  });
  for (const char* name : {"a", "b", "c"}) manager_.Fork([] {}, {.name = name});
  ASSERT_THAT(manager_.Wait(), IsOk());
  EXPECT_EQ(told_.size(), 6u);
  EXPECT_EQ(others, told_);
}

TEST_F(EventStreamTest, HandlerMayStartAndStopProcesses) {
  Process helper;
  manager_.OnEvent([&](const ProcessEvent& event) {
    if (event.name == "a" && event.kind == Kind::kStarted) {
      helper = manager_.Fork(ServeUntilShutdown, {.name = "helper", .ready = ReadyWhen::kNotified});
    }
    if (event.name == "helper" && event.kind == Kind::kReady) helper.Stop().IgnoreError();
  });
  Process process = manager_.Fork(ServeUntilShutdown, {.name = "a"});
  while (!helper.exit_status().has_value()) ASSERT_THAT(manager_.Dispatch(absl::InfiniteDuration()), IsOk());
  EXPECT_EQ(helper.exit_status(), ExitStatus::Exited(kSawShutdown));
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(EventStreamTest, LineOfEachEventNamesProcessAndKind) {
  manager_.Fork([] { return 3; }, {.name = "web"});
  ASSERT_THAT(manager_.Wait(), IsOk());
  for (const ProcessEvent& event : events_) EXPECT_THAT(event.ToString(), ::testing::HasSubstr("web"));
  EXPECT_THAT(events_[1].ToString(), ::testing::HasSubstr("exited with code 3"));
}

}  // namespace
}  // namespace ko
