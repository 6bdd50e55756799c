#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/manager/test_policies.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// A hot spare with leave to begin by itself: where it is certain that the end of the one that it follows leads to a restart at
// once, it does not wait for the manager. These tests' managers do nothing between the end and the spare's beginning.

namespace ko {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::IsOkAndHolds;

RestartPolicy WithSpare(RestartPolicy::When when = RestartPolicy::When::kAlways) {
  RestartPolicy policy = AtOnce();
  policy.max_delay = absl::ZeroDuration();  // at the later ends, too
  policy.when = when;
  policy.hot_spare = true;
  return policy;
}

class SpareLeaveTest : public testing::LeakCheckedTest {
 protected:
  // Tells that it runs, and which attempt it is.
  auto Body() {
    return [this](Self& self) {
      newest_->store(self.attempt());
      return ServeUntilShutdown(self);
    };
  }
  void AwaitAttempt(int attempt) {
    while (newest_->load() < attempt) absl::SleepFor(absl::Milliseconds(1));
  }
  // Long enough for a wake-up, however busy the machine.
  bool BeginsByItself(int attempt) {
    for (int i = 0; i < 200 && newest_->load() < attempt; ++i) absl::SleepFor(absl::Milliseconds(1));
    return newest_->load() >= attempt;
  }
  // Handles events until there were so many restarts.
  void AwaitRestarts(Process& process, int restarts) {
    while (process.restarts() < restarts) ASSERT_THAT(manager_->Dispatch(absl::Seconds(30)), IsOk());
  }
  void KillTheFirst(const Process& process) {
    AwaitAttempt(1);
    ASSERT_EQ(::kill(process.pid(), SIGKILL), 0);
  }
  void ExpectTheSecondAtTheManagersWord(Process& process) {
    AwaitRestarts(process, 1);
    AwaitAttempt(2);
    EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  }
  void SetUp() override {
    LeakCheckedTest::SetUp();
    newest_ = &*shared_.emplace();
    manager_.emplace();
  }
  void TearDown() override {
    manager_.reset();
    shared_.reset();
    LeakCheckedTest::TearDown();
  }

  std::optional<Shared<std::atomic<int>>> shared_;
  std::atomic<int>* newest_ = nullptr;
  std::optional<ProcessManager> manager_;
};

TEST_F(SpareLeaveTest, BeginsWhileTheManagerDoesNothing) {
  Process process = manager_->Spawn(Body(), WithSpare());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    AwaitAttempt(attempt);
    const pid_t pid = process.pid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    AwaitAttempt(attempt + 1);
    EXPECT_EQ(process.pid(), pid);  // it has not been told yet
    AwaitRestarts(process, attempt);
    EXPECT_NE(process.pid(), pid);
  }
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SpareLeaveTest, OtherThreadsEndWithTheFirst) {
  Process process = manager_->Spawn(
      [this](Self& self) {
        for (int i = 0; i < 20; ++i) {
          std::thread([] {
            for (;;) ::pause();
          }).detach();
        }
        newest_->store(self.attempt());
        return ServeUntilShutdown(self);
      },
      WithSpare());
  for (int attempt = 1; attempt <= 5; ++attempt) {
    AwaitAttempt(attempt);
    ASSERT_EQ(::kill(process.pid(), SIGKILL), 0);
    AwaitAttempt(attempt + 1);
    AwaitRestarts(process, attempt);
  }
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SpareLeaveTest, BothEndsAreToldInTheirOrder) {
  std::vector<std::string> events;
  manager_->OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kStarted) events.push_back(absl::StrCat("started ", event.attempt));
    if (event.kind == ProcessEvent::Kind::kExited) events.push_back(absl::StrCat("exited ", event.attempt));
  });
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        if (self.attempt() == 2) ::_exit(5);  // noticed with the end of the first, or ahead of it
        return ServeUntilShutdown(self);
      },
      WithSpare());
  KillTheFirst(process);
  AwaitAttempt(2);
  AwaitRestarts(process, 2);
  AwaitAttempt(3);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  EXPECT_THAT(events, ElementsAre("started 1", "exited 1", "started 2", "exited 2", "started 3", "exited 3"));
}

TEST_F(SpareLeaveTest, StopIsHeardByOneThatHasBegun) {
  Process process = manager_->Spawn(Body(), WithSpare());
  KillTheFirst(process);
  AwaitAttempt(2);
  EXPECT_THAT(process.Stop({.grace = absl::Minutes(1)}), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  EXPECT_EQ(process.restarts(), 1);
}

TEST_F(SpareLeaveTest, ShutdownIsHeardByOneThatHasBegun) {
  Process process = manager_->Spawn(Body(), WithSpare());
  KillTheFirst(process);
  AwaitAttempt(2);
  EXPECT_THAT(manager_->Shutdown({.grace = absl::Minutes(1)}), IsOk());
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SpareLeaveTest, RecyclingIsOfTheOneThatHasBegun) {
  ProcessOptions options = kTellsReady;
  options.recycle.max_tasks = 1;
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        self.NotifyReady();
        while (!self.ShouldShutdown()) {
          self.Sleep(absl::Milliseconds(1));
          if (self.attempt() == 2) self.EndTask();
        }
        return kSawShutdown;
      },
      WithSpare(), options);
  KillTheFirst(process);
  AwaitAttempt(2);
  AwaitRestarts(process, 2);
  AwaitAttempt(3);
  EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
}

TEST_F(SpareLeaveTest, OneThatHasEndedIsNotRecycled) {
  ProcessOptions options = kTellsReady;
  options.recycle.max_tasks = 1;
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        self.NotifyReady();
        if (self.attempt() > 20) return ServeUntilShutdown(self);
        self.EndTask();  // the manager hears of all three at once
        return 0;
      },
      WithSpare(), options);
  AwaitAttempt(2);
  AwaitRestarts(process, 20);
  AwaitAttempt(21);
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(SpareLeaveTest, WhereTheManagerHasToDecideItDoesNot) {
  Process process = manager_->Spawn(Body(), WithSpare(RestartPolicy::When::kOnFailure));
  KillTheFirst(process);
  EXPECT_FALSE(BeginsByItself(2));
  ExpectTheSecondAtTheManagersWord(process);
}

TEST_F(SpareLeaveTest, AnExecIsNoEnd) {
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        if (self.attempt() == 1) ::execl("/bin/sleep", "sleep", "1000", nullptr);
        return ServeUntilShutdown(self);
      },
      WithSpare());
  AwaitAttempt(1);
  EXPECT_FALSE(BeginsByItself(2));
  ASSERT_EQ(::kill(process.pid(), SIGKILL), 0);
  ExpectTheSecondAtTheManagersWord(process);
}

TEST_F(SpareLeaveTest, TheFirstThreadsEndIsNone) {
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        if (self.attempt() > 1) return ServeUntilShutdown(self);
        std::thread([] {
          for (;;) ::pause();
        }).detach();
        ::syscall(SYS_exit, 0);  // of this thread alone
        return 1;
      },
      WithSpare());
  AwaitAttempt(1);
  EXPECT_FALSE(BeginsByItself(2));
  ASSERT_EQ(::kill(process.pid(), SIGKILL), 0);
  ExpectTheSecondAtTheManagersWord(process);
}

TEST_F(SpareLeaveTest, LimitIsKept) {
  RestartPolicy policy = WithSpare();
  policy.max_restarts = 2;
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        return 3;
      },
      policy);
  EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::Exited(3)));
  EXPECT_EQ(process.restarts(), 2);
  EXPECT_EQ(newest_->load(), 3);
}

TEST_F(SpareLeaveTest, EndsOfAllKindsAtOnceLoseNoAttempt) {
  Process process = manager_->Spawn(
      [this](Self& self) {
        newest_->store(self.attempt());
        switch (self.attempt() % 4) {
          case 0:
            ::_exit(1);
          case 1:
            std::exit(2);
          case 2:
            ::raise(SIGKILL);
            break;
          default:
            break;
        }
        return 0;
      },
      WithSpare());
  AwaitRestarts(process, 200);
  EXPECT_THAT(process.Stop(), IsOk());
  EXPECT_LE(newest_->load(), process.restarts() + 1);
}

}  // namespace
}  // namespace ko
