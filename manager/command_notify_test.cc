// What a command tells its manager by sd_notify(3).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

const RestartPolicy kOnce = {.when = RestartPolicy::When::kNever};

class CommandNotifyTest : public testing::LeakCheckedTest {};

// See test_service.cc.
Process Start(ProcessManager& manager, const std::string& how, ProcessOptions options) {
  return manager.Spawn(Command{.argv = {"manager/test_service", how}}, kOnce, std::move(options));
}

TEST_F(CommandNotifyTest, IsReadyWhenItSaysSoAndStopsInGoodOrder) {
  ProcessManager manager;
  Process process = Start(manager, "serve", {.ready = ReadyWhen::kNotified});
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_TRUE(process.IsReady());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(CommandNotifyTest, OneThatDoesNotSayItMissesItsStartDeadline) {
  ProcessManager manager;
  Process process = Start(manager, "hang",
                          {.ready = ReadyWhen::kNotified,
                           .liveness = {.start_deadline = absl::Milliseconds(50), .hung_signal = SIGKILL}});
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_EQ(process.exit_event()->reason, "missed its start deadline");
}

TEST_F(CommandNotifyTest, HeartbeatsKeepItLongerThanTheirDeadline) {
  ProcessManager manager;
  Process process = Start(
      manager, "beat", {.ready = ReadyWhen::kNotified, .liveness = {.heartbeat_deadline = absl::Seconds(1)}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
}

TEST_F(CommandNotifyTest, OneThatFallsSilentMissesItsHeartbeatDeadline) {
  ProcessManager manager;
  Process process =
      Start(manager, "hang when ready",
            {.ready = ReadyWhen::kNotified,
             .liveness = {.heartbeat_deadline = absl::Milliseconds(50), .hung_signal = SIGKILL}});
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_EQ(process.exit_event()->reason, "missed its heartbeat deadline");
}

TEST_F(CommandNotifyTest, OneThatSaysThatItHangsIsTakenAtItsWord) {
  ProcessManager manager;
  Process process =
      Start(manager, "trigger", {.liveness = {.heartbeat_deadline = absl::Hours(1), .hung_signal = SIGKILL}});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_EQ(process.exit_event()->reason, "says that it hangs");
}

TEST_F(CommandNotifyTest, NobodyOutsideOfItsProcessGroupSpeaksForIt) {
  ProcessManager manager;
  Process process = Start(manager, "stranger", {.ready = ReadyWhen::kNotified});
  EXPECT_THAT(process.WaitReady(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(5)));
}

TEST_F(CommandNotifyTest, OneThatIsNotAskedHasNobodyToTell) {
  ProcessManager manager;
  EXPECT_THAT(Start(manager, "unasked", {}).Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

}  // namespace
}  // namespace ko
