#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/process/fork_server.h"
#include "ko/testing/gate.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

// Managed processes that a fork server forks.

namespace ko {
namespace {

using testing::CountDescriptors;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ServedProcessTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    server_ = ForkServer::Start();
    ASSERT_THAT(server_, IsOk());
    manager_.UseForkServer(*server_);
  }
  void TearDown() override {
    EXPECT_THAT(manager_.Shutdown(), IsOk());
    manager_ = ProcessManager();
    server_ = absl::UnknownError("it has ended");
    LeakCheckedTest::TearDown();
  }

  absl::StatusOr<ForkServer> server_ = absl::UnknownError("not started");
  ProcessManager manager_;
};

int Add(int a, const std::string& b) { return a + static_cast<int>(b.size()); }
absl::Status Fail() { return absl::NotFoundError("no such table"); }
void Nothing() noexcept {}

TEST_F(ServedProcessTest, EndsAsTheFunctionDoes) {
  EXPECT_THAT(manager_.Fork<&Add>(4, "four").Wait(), IsOkAndHolds(ExitStatus::Exited(8)));
  EXPECT_THAT(manager_.Fork<&Nothing>().Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  absl::StatusOr<ExitStatus> failed = manager_.Fork<&Fail>().Wait();
  ASSERT_THAT(failed, IsOk());
  EXPECT_THAT(failed->ToStatus(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such table")));
}

int TellOneself(Self& self, const std::string& word) {
  self["pid"] = self.pid();
  self["parent"] = self.parent_pid();
  self["attempt"] = self.attempt();
  self["slot"] = self.slot();
  self["heard"] = absl::StrCat(word, self["said"].Get<std::string>().value_or(" nothing"));
  if (!self.SetProcessTitle("served and named").ok()) return 1;
  return ServeUntilShutdown(self);
}

TEST_F(ServedProcessTest, HasASelfThatIsSharedWithTheManager) {
  Process process = manager_.ForkWith<&TellOneself>({.ready = ReadyWhen::kNotified}, "I hear");
  int ready = 0;
  process.OnReady([&] { ++ready; });
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_EQ(ready, 1);
  EXPECT_TRUE(process["pid"] == process.pid());
  EXPECT_TRUE(process["parent"] == ::getpid());
  EXPECT_TRUE(process["attempt"] == 1);
  EXPECT_TRUE(process["slot"] == -1);
  EXPECT_EQ(testing::StatusLine(process.pid(), "Name"), "served and name");
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  EXPECT_TRUE(process["heard"] == "I hear nothing") << "the memory outlives the process";
}

int CountStarts(Self& self) {
  if ((self["starts"] += 1) < 4) ::raise(SIGKILL);
  return self.attempt() == 4 ? 0 : 1;
}

TEST_F(ServedProcessTest, IsKeptAliveWithItsMemory) {
  RestartPolicy policy;
  policy.initial_delay = absl::ZeroDuration();
  Process process = manager_.SpawnWith<&CountStarts>(policy, {});
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_EQ(process.restarts(), 3);
  EXPECT_TRUE(process["starts"] == 4);
}

int LeaveWhenAsked(Self& self) { return ServeUntilShutdown(self); }

TEST_F(ServedProcessTest, SignalAtTheMomentOfTheStartIsNotLost) {
  for (int round = 0; round < 50; ++round) {
    EXPECT_THAT(manager_.Fork<&LeaveWhenAsked>().Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  }
}

TEST_F(ServedProcessTest, StartsBesideOtherThreads) {
  std::promise<void> may_end;
  std::thread other([&may_end] { may_end.get_future().wait(); });
  EXPECT_THAT(manager_.Fork<&Add>(1, "").Wait(), IsOkAndHolds(ExitStatus::Exited(1)));
  EXPECT_TRUE(manager_.Fork([] {}).exit_status()->start_error().has_value()) << "a copy of this is refused";
  may_end.set_value();
  other.join();
}

TEST_F(ServedProcessTest, DeathOfTheServerIsNotTheManagersMatter) {
  Process before = manager_.ForkWith<&LeaveWhenAsked>({.ready = ReadyWhen::kNotified});
  ASSERT_THAT(before.WaitReady(), IsOk());
  ASSERT_EQ(::kill(server_->pid(), SIGKILL), 0);
  EXPECT_THAT(manager_.Fork<&Add>(2, "").Wait(), IsOkAndHolds(ExitStatus::Exited(2)));
  EXPECT_THAT(before.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(ServedProcessTest, WithoutAServerTheStartFailsWithTheReason) {
  ProcessManager manager;
  Process process = manager.Fork<&Add>(1, "");
  ASSERT_TRUE(process.exit_status().has_value());
  EXPECT_THAT(process.exit_status()->ToStatus(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("UseForkServer")));
}

TEST_F(ServedProcessTest, ServerThatWasMovedAwayFailsTheStart) {
  ForkServer moved = server_->Share();
  ForkServer other = std::move(moved);
  ProcessManager manager;
  manager.UseForkServer(moved);  // NOLINT(bugprone-use-after-move): that is what is tried
  EXPECT_THAT(manager.Fork<&Nothing>().exit_status()->ToStatus(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("moved-from")));
}

int BeSlot(Self& self, int base) {
  self.NotifyReady();
  while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
  return base + self.slot();
}

TEST_F(ServedProcessTest, WorksInPoolsAndRollsOver) {
  WorkerPool pool =
      manager_.SpawnPool(3, OnForkServer<&BeSlot>(*server_, 10), {.when = RestartPolicy::When::kAlways},
                         {.ready = ReadyWhen::kNotified});
  ASSERT_THAT(pool.WaitReady(), IsOk());
  absl::StatusOr<RollOut> rolled = pool.RollingRestart({.observe = absl::ZeroDuration()});
  ASSERT_THAT(rolled, IsOk());
  EXPECT_THAT(rolled->status, IsOk());
  EXPECT_EQ(rolled->replaced, 3);
  std::vector<ExitStatus> ends;
  manager_.OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kExited) ends.push_back(event.exit->status);
  });
  ASSERT_THAT(pool.Stop(), IsOk());
  EXPECT_THAT(ends, ::testing::UnorderedElementsAre(ExitStatus::Exited(10), ExitStatus::Exited(11),
                                                    ExitStatus::Exited(12)));
}

int EndOnce(Self& self) {
  self["attempt"] = self.attempt();
  return self.attempt() == 1 ? 1 : ServeUntilShutdown(self);
}

TEST_F(ServedProcessTest, SpareTakesItsTurn) {
  RestartPolicy policy;
  policy.initial_delay = absl::ZeroDuration();
  policy.hot_spare = true;
  Process process = manager_.SpawnWith<&EndOnce>(policy, {.ready = ReadyWhen::kNotified});
  while (process.restarts() == 0) ASSERT_THAT(manager_.Dispatch(absl::Seconds(30)), IsOk());
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_TRUE(process["attempt"] == 2);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

void StartAPartner(Self& self) {
  if (::fork() == 0) {
    for (;;) ::pause();
  }
  self.NotifyReady();
  for (;;) ::pause();
}

TEST_F(ServedProcessTest, IsStoppedWithItsWholeTree) {
  Process process = manager_.ForkWith<&StartAPartner>(
      {.ready = ReadyWhen::kNotified, .stop = StopPlan{.steps = {}, .target = StopTarget::kTree}});
  ASSERT_THAT(process.WaitReady(), IsOk());
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {  // the partner, an orphan of this process
  }
}

TEST_F(ServedProcessTest, MissedHeartbeatsEndIt) {
  Process process =
      manager_.ForkWith<&LeaveWhenAsked>({.liveness = {.heartbeat_deadline = absl::Milliseconds(50)}});
  absl::StatusOr<ExitStatus> end = process.Wait();
  ASSERT_THAT(end, IsOk());
  EXPECT_TRUE(end->term_signal().has_value());
}

TEST_F(ServedProcessTest, NeitherItNorAForkedSiblingHasTheManagersDescriptors) {
  // Without spares: where one is there, a forked sibling has its descriptors too.
  server_ = ForkServer::Start({.spares = 0});
  ASSERT_THAT(server_, IsOk());
  manager_.UseForkServer(*server_);
  const int alone = *manager_.Fork<&CountDescriptors>().Wait()->exit_code();
  const int copied = *manager_.Fork(CountDescriptors).Wait()->exit_code();
  for (int i = 0; i < 20; ++i) manager_.Fork<&LeaveWhenAsked>();
  EXPECT_EQ(*manager_.Fork<&CountDescriptors>().Wait()->exit_code(), alone);
  EXPECT_EQ(*manager_.Fork(CountDescriptors).Wait()->exit_code(), copied);
}

int WriteTo(PassedFd fd, std::string_view text) {
  return ::write(fd.fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1;
}

TEST_F(ServedProcessTest, DescriptorsArePassed) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  EXPECT_THAT(manager_.Fork<&WriteTo>(PassedFd{pipe[1]}, "hello").Wait(),
              IsOkAndHolds(ExitStatus::Exited(0)));
  char text[16] = {};
  EXPECT_EQ(::read(pipe[0], text, sizeof text), 5);
  EXPECT_STREQ(text, "hello");
  ::close(pipe[0]);
  ::close(pipe[1]);
}

void PauseForEver(Self& self) {
  self.NotifyReady();
  for (;;) ::pause();
}

TEST_F(ServedProcessTest, DiesWithTheManager) {
  testing::Gate ready;
  const Shared<pid_t> served;
  const pid_t pid = ::fork();
  if (pid == 0) {
    absl::StatusOr<ForkServer> server = ForkServer::Start();
    ProcessManager manager;
    manager.UseForkServer(*server);
    Process process = manager.ForkWith<&PauseForEver>({.ready = ReadyWhen::kNotified});
    if (process.WaitReady().ok()) {
      *served = process.pid();
      ready.Open();
    }
    for (;;) ::pause();
  }
  ASSERT_TRUE(ready.Pass());
  manager_ = ProcessManager();
  server_ = absl::UnknownError("this test needs none");
  ::kill(pid, SIGKILL);
  // They all become children of this process: the one that was served, the server, the server's spares.
  std::optional<int> end;
  int status = 0;
  for (pid_t ended; (ended = ::waitpid(-1, &status, 0)) > 0;) {
    if (ended == *served) end = status;
  }
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(WIFSIGNALED(*end) && WTERMSIG(*end) == SIGKILL) << *end;
}

}  // namespace
}  // namespace ko
