#include "ko/ipc/semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/ipc/semaphore_test_peer.h"
#include "ko/ipc/semaphore_words.h"
#include "ko/ipc/test_child.h"
#include "ko/os/named_mapping.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/unique_name.h"

namespace ko {
namespace {

using testing::AwaitState;
using testing::Gate;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::Rounds;
using testing::StatusIs;

class SemaphoreTest : public testing::LeakCheckedTest {
 protected:
  static Semaphore Make(int permits = 1) {
    absl::StatusOr<Semaphore> semaphore = Semaphore::Create(permits);
    EXPECT_THAT(semaphore, IsOk());
    return *std::move(semaphore);
  }
  // A child that acquires a permit and stays.
  static TestChild Hold(Semaphore& semaphore) {
    Gate acquired;
    TestChild holder([&] {
      EXPECT_THAT(semaphore.Acquire(), IsOk());
      acquired.Open();
      while (true) ::pause();
      return 0;
    });
    EXPECT_TRUE(acquired.Pass());
    return holder;
  }
  // A child that waits for one, and ends when it has got it.
  static TestChild Wait(Semaphore& semaphore) {
    TestChild waiter([&] { return semaphore.Acquire().ok() && semaphore.IsAcquired() ? 0 : 1; });
    EXPECT_TRUE(AwaitState(waiter.pid(), 'S'));
    return waiter;
  }
};

TEST_F(SemaphoreTest, IsFreeAgainAfterItsRelease) {
  Semaphore semaphore = Make();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(semaphore.IsAcquired());
    EXPECT_EQ(semaphore.available(), 1);
    EXPECT_THAT(semaphore.Acquire(), IsOk());
    EXPECT_TRUE(semaphore.IsAcquired());
    EXPECT_EQ(semaphore.available(), 0);
    EXPECT_FALSE(semaphore.TryAcquire());
    EXPECT_THAT(semaphore.Release(), IsOk());
  }
  EXPECT_TRUE(semaphore.TryAcquire());
  EXPECT_THAT(semaphore.Release(), IsOk());
}

TEST_F(SemaphoreTest, ReleasingWhatOneDoesNotHoldIsFailedPrecondition) {
  Semaphore semaphore = Make(2);
  EXPECT_THAT(semaphore.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(semaphore.Acquire(), IsOk());
  InChild([&] {
    EXPECT_FALSE(semaphore.IsAcquired()) << "not the child";
    EXPECT_THAT(semaphore.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
  });
  std::thread([&] {
    EXPECT_TRUE(semaphore.IsAcquired()) << "by this process";
    EXPECT_THAT(semaphore.Release(), StatusIs(absl::StatusCode::kFailedPrecondition)) << "by another thread";
  }).join();
  EXPECT_THAT(semaphore.Release(), IsOk());
  EXPECT_THAT(semaphore.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(SemaphoreTest, WaitingForOneselfIsFailedPreconditionAtOnce) {
  Semaphore semaphore = Make(2);
  ASSERT_THAT(semaphore.Acquire(), IsOk());
  ASSERT_THAT(semaphore.Acquire(), IsOk());
  EXPECT_THAT(semaphore.Acquire(), StatusIs(absl::StatusCode::kFailedPrecondition));
  TestChild waiter = Wait(semaphore);
  EXPECT_THAT(semaphore.Acquire(), StatusIs(absl::StatusCode::kFailedPrecondition)) << "behind others, too";
  EXPECT_THAT(semaphore.Release(), IsOk());
  EXPECT_EQ(waiter.Wait(), 0);
  EXPECT_THAT(semaphore.Release(), IsOk());
}

TEST_F(SemaphoreTest, TimeThatIsOverIsDeadlineExceeded) {
  Semaphore semaphore = Make();
  const TestChild holder = Hold(semaphore);
  for (const absl::Duration timeout : {-absl::Seconds(1), absl::ZeroDuration(), absl::Milliseconds(20)}) {
    EXPECT_THAT(semaphore.Acquire(timeout), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  const TestChild other = Wait(semaphore);
  EXPECT_THAT(semaphore.Acquire(absl::Milliseconds(20)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(semaphore.TryAcquire());
}

std::atomic<uint32_t> alarms = 0;

TEST_F(SemaphoreTest, AnInterruptIsCancelled) {
  Semaphore semaphore = Make();
  const TestChild holder = Hold(semaphore);
  TestChild waiter([&] {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++alarms; };
    ::sigaction(SIGUSR1, &action, nullptr);
    return absl::IsCancelled(semaphore.Acquire(absl::InfiniteDuration(), {&alarms, 0})) ? 0 : 1;
  });
  ASSERT_TRUE(AwaitState(waiter.pid(), 'S'));
  ::kill(waiter.pid(), SIGUSR1);
  EXPECT_EQ(waiter.Wait(), 0);
}

TEST_F(SemaphoreTest, ADeadHoldersPermitGoesToAWaiter) {
  for (const int permits : {1, 3, 126, 200}) {
    Semaphore semaphore = Make(permits);
    TestChild holder = Hold(semaphore);
    for (int i = 1; i < permits; ++i) ASSERT_THAT(semaphore.Acquire(), IsOk());
    TestChild waiter = Wait(semaphore);
    EXPECT_EQ(holder.KillAndWait(), -SIGKILL);
    EXPECT_EQ(waiter.Wait(), 0) << permits;
    EXPECT_TRUE(semaphore.TryAcquire()) << "the waiter has ended, and so given it back";
  }
}

TEST_F(SemaphoreTest, AReleaseWakesAWaiterHoweverManyPermitsThereAre) {
  for (const int permits : {1, 2, 127, 1000}) {
    Semaphore semaphore = Make(permits);
    for (int i = 0; i < permits; ++i) ASSERT_THAT(semaphore.Acquire(), IsOk());
    TestChild waiter = Wait(semaphore);
    EXPECT_THAT(semaphore.Release(), IsOk());
    EXPECT_EQ(waiter.Wait(), 0) << permits;
  }
}

TEST_F(SemaphoreTest, TheDeathOfTheFirstWaiterLetsTheNextOneWait) {
  Semaphore semaphore = Make();
  TestChild holder = Hold(semaphore);
  TestChild first = Wait(semaphore), second = Wait(semaphore), third = Wait(semaphore);
  EXPECT_EQ(first.KillAndWait(), -SIGKILL);
  ::kill(second.pid(), SIGSTOP);
  ASSERT_TRUE(AwaitState(second.pid(), 'T'));
  EXPECT_EQ(holder.KillAndWait(), -SIGKILL);
  EXPECT_EQ(second.KillAndWait(), -SIGKILL) << "woken, and dead before it has the permit";
  EXPECT_EQ(third.Wait(), 0);
  EXPECT_TRUE(semaphore.TryAcquire()) << "nobody is first any more";
}

TEST_F(SemaphoreTest, AThreadThatEndsGivesItsPermitBack) {
  Semaphore semaphore = Make();
  std::thread([&] { EXPECT_THAT(semaphore.Acquire(), IsOk()); }).join();
  EXPECT_FALSE(semaphore.IsAcquired());
  EXPECT_TRUE(semaphore.TryAcquire());
}

TEST_F(SemaphoreTest, DestructionReleases) {
  const std::string name = testing::UniqueName("semaphore-test");
  absl::StatusOr<Semaphore> made = Semaphore::Create(1, {.name = name});
  ASSERT_THAT(made, IsOk());
  {
    absl::StatusOr<Semaphore> opened = Semaphore::Open(name);
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(opened->permits(), 1);
    EXPECT_TRUE(opened->TryAcquire());
    EXPECT_FALSE(made->TryAcquire());
  }
  EXPECT_TRUE(made->TryAcquire());
  EXPECT_THAT(Semaphore::Create(1, {.name = name}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Semaphore::Unlink(name), IsOk());
  EXPECT_THAT(Semaphore::Open(name), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Semaphore::Unlink(name), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SemaphoreTest, ANamedObjectThatIsSomethingElseIsDataLoss) {
  const std::string name = testing::UniqueName("semaphore-test");
  ASSERT_THAT(os::CreateNamedMapping(name, 4096, [](void*) {}), IsOk());
  EXPECT_THAT(Semaphore::Open(name), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Semaphore::Unlink(name), IsOk());
}

TEST_F(SemaphoreTest, LockExecuteHandsOnWhatTheFunctionReturns) {
  Semaphore semaphore = Make();
  EXPECT_THAT(semaphore.LockExecute([&] { EXPECT_TRUE(semaphore.IsAcquired()); }), IsOk());
  EXPECT_THAT(semaphore.LockExecute([] { return 5; }), IsOkAndHolds(5));
  EXPECT_THAT(semaphore.LockExecute([] { return std::make_unique<int>(6); }).value(), ::testing::Pointee(6));
  EXPECT_THAT(semaphore.LockExecute([] { return absl::AbortedError("no"); }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(semaphore.LockExecute([] { return absl::StatusOr<int>(7); }), IsOkAndHolds(7));
  EXPECT_THAT(semaphore.LockExecute([]() -> absl::StatusOr<int> { return absl::AbortedError("no"); }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THROW(semaphore.LockExecute([]() -> int { throw std::runtime_error("no"); }).status().IgnoreError(),
               std::runtime_error);
  EXPECT_FALSE(semaphore.IsAcquired()) << "released on every way out";
}

TEST_F(SemaphoreTest, TryExecuteIsUnavailableWhereItIsTakenAndDoesNotRun) {
  Semaphore semaphore = Make();
  EXPECT_THAT(semaphore.TryExecute([] { return 5; }), IsOkAndHolds(5));
  const TestChild holder = Hold(semaphore);
  bool ran = false;
  EXPECT_THAT(semaphore.TryExecute([&] { ran = true; }), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(ran);
}

TEST_F(SemaphoreTest, AMovedFromOneRefuses) {
  Semaphore semaphore = Make();
  ASSERT_TRUE(semaphore.TryAcquire());
  Semaphore moved = std::move(semaphore);
  EXPECT_TRUE(moved.IsAcquired());
  EXPECT_THAT(semaphore.Acquire(), StatusIs(absl::StatusCode::kFailedPrecondition));  // NOLINT
  EXPECT_THAT(semaphore.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(semaphore.TryExecute([] {}), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(semaphore.TryAcquire());
  EXPECT_FALSE(semaphore.IsAcquired());
  EXPECT_EQ(semaphore.permits() + semaphore.available(), 0);
}

TEST_F(SemaphoreTest, NumbersOfPermitsThatCannotBeAreInvalidArgument) {
  for (const int permits : {0, -1, INT_MIN, 65'537, INT_MAX}) {
    EXPECT_THAT(Semaphore::Create(permits), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(Semaphore::Create(65'536), IsOk());
}

// A waiter among three that never rest.
TEST_F(SemaphoreTest, AWaiterIsNotOvertakenForEver) {
  Semaphore semaphore = Make();
  std::vector<TestChild> busy;
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back([&] {
      while (semaphore.Acquire().ok() && semaphore.Release().ok()) {
      }
      return 1;
    });
  }
  for (int i = 0; i < Rounds(1000); ++i) {
    ASSERT_THAT(semaphore.Acquire(), IsOk());
    ASSERT_THAT(semaphore.Release(), IsOk());
  }
}

// How many are inside, and at most were, in memory of their own.
struct Inside {
  std::atomic<int> now, most;
  std::atomic<uint64_t> visits;
};

TEST_F(SemaphoreTest, NoMoreAreInsideThanThereArePermits) {
  Semaphore semaphore = Make(3);
  os::SharedMapping mapping = *os::SharedMapping::Create(sizeof(Inside));
  auto& inside = *new (mapping.data()) Inside();
  std::vector<TestChild> children;
  for (int i = 0; i < 8; ++i) {
    children.emplace_back([&] {
      for (int n = 0; n < Rounds(2000); ++n) {
        if (!semaphore.Acquire().ok()) return 1;
        const int now = ++inside.now;
        int most = inside.most;
        while (now > most && !inside.most.compare_exchange_weak(most, now)) {
        }
        --inside.now;
        if (!semaphore.Release().ok()) return 2;
      }
      return 0;
    });
  }
  for (TestChild& child : children) EXPECT_EQ(child.Wait(), 0);
  EXPECT_LE(inside.most, 3);
  EXPECT_EQ(semaphore.available(), 3);
}

// Four go in and out, each killed and followed by another one. (They do not rest, so each death waits for its turn on a
// processor.)
TEST_F(SemaphoreTest, NoPermitIsLostAndNobodyForgottenWhateverIsKilled) {
  for (const int permits : {1, 2}) {
    Semaphore semaphore = Make(permits);
    os::SharedMapping mapping = *os::SharedMapping::Create(sizeof(Inside));
    auto& inside = *new (mapping.data()) Inside();
    const auto start = [&] {
      return TestChild([&] {
        while (true) {
          if (!semaphore.Acquire().ok()) return 1;
          ++inside.visits;
          if (!semaphore.Release().ok()) return 2;
        }
      });
    };
    std::vector<TestChild> visitors;
    for (int i = 0; i < 4; ++i) visitors.push_back(start());
    std::minstd_rand random(1);
    for (int i = 0; i < Rounds(400); ++i) {
      const uint64_t visits = inside.visits;
      while (inside.visits < visits + random() % 50 + 1) {
      }
      TestChild& victim = visitors[random() % visitors.size()];
      ASSERT_EQ(victim.KillAndWait(), -SIGKILL);
      victim = start();
    }
    for (TestChild& visitor : visitors) ASSERT_EQ(visitor.KillAndWait(), -SIGKILL);
    for (int i = 0; i < permits; ++i) EXPECT_TRUE(semaphore.TryAcquire());
  }
}

// The words that name a living thread by chance are waited for, so these calls have time limits.
TEST_F(SemaphoreTest, AnyBytesGiveErrorsAndNeverACrashOrALoop) {
  const auto result = InChild([&] {
    std::minstd_rand random(1);
    for (int round = 0; round < Rounds(2000); ++round) {
      Semaphore semaphore = Make(1 + static_cast<int>(random() % 4));
      os::SharedMapping& mapping = SemaphoreTestPeer::Mapping(semaphore);
      auto* const bytes = static_cast<std::atomic<uint8_t>*>(mapping.data());
      for (int i = 0; i < 1 << (round % 6); ++i)
        bytes[random() % mapping.bytes()] = static_cast<uint8_t>(random());
      for (int i = 0; i < 3; ++i) {
        semaphore.Acquire(absl::Microseconds(50)).IgnoreError();
        semaphore.TryAcquire();
        semaphore.IsAcquired();
        semaphore.available();
        semaphore.Release().IgnoreError();
      }
    }
  });
  EXPECT_TRUE(result.ok()) << result.err;
}

TEST_F(SemaphoreTest, ThePermitsOfAnOverwrittenOneLeaveTheThreadsListWithIt) {
  for (const int byte : {0, 0x7f, 0xff}) {
    Semaphore semaphore = Make(10'000);
    ASSERT_TRUE(semaphore.TryAcquire() && semaphore.TryAcquire());
    os::SharedMapping& mapping = SemaphoreTestPeer::Mapping(semaphore);
    std::memset(static_cast<char*>(mapping.data()) + sizeof(SemaphoreHeader), byte,
                mapping.bytes() - sizeof(SemaphoreHeader));
  }
  // Smaller, so that it does not lie where the others did.
  Semaphore other = Make();
  EXPECT_TRUE(other.TryAcquire());
  EXPECT_THAT(other.Release(), IsOk());
}

}  // namespace
}  // namespace ko
