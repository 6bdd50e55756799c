#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "ko/ipc/semaphore.h"
#include "ko/ipc/test_child.h"
#include "ko/ipc/test_sleeper.h"
#include "ko/testing/gate.h"
#include "ko/testing/kill_at_every_instruction.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/tracee.h"

// Each operation, killed before each of its instructions: the permit is free for the next one, and a sleeper gets it.

namespace ko {
namespace {

using testing::Gate;
using testing::IsOk;
using testing::KillAtEveryInstruction;
using testing::KillPointsStartHere;
using testing::KillReport;

// Those that sleep are long, because the time is asked.
constexpr testing::KillOptions kLong = {.max_points = testing::Rounds(2000)};

struct Fixture {
  explicit Fixture(int permits = 1) : semaphore(*Semaphore::Create(permits)) {}
  Semaphore semaphore;
  std::unique_ptr<TestChild> other;
  std::optional<TestSleeper> sleeper;
};

std::unique_ptr<Fixture> MakeFree() { return std::make_unique<Fixture>(); }

std::unique_ptr<Fixture> MakeTwo() { return std::make_unique<Fixture>(2); }

// Somebody has died with the permit.
std::unique_ptr<Fixture> MakeInherited() {
  auto fixture = MakeFree();
  TestChild dead([&] {
    fixture->semaphore.Acquire().IgnoreError();
    return ::kill(::getpid(), SIGKILL);
  });
  dead.Wait();
  return fixture;
}

// Somebody holds the permit until it is killed.
std::unique_ptr<Fixture> MakeHeld() {
  auto fixture = MakeFree();
  Gate acquired;
  fixture->other = std::make_unique<TestChild>([&] {
    fixture->semaphore.Acquire().IgnoreError();
    acquired.Open();
    while (true) ::pause();
    return 0;
  });
  EXPECT_TRUE(acquired.Pass());
  return fixture;
}

void CheckAllFree(Fixture& fixture) {
  for (int i = 0; i < fixture.semaphore.permits(); ++i) {
    EXPECT_THAT(fixture.semaphore.Acquire(absl::Seconds(10)), IsOk());
  }
  EXPECT_EQ(fixture.semaphore.available(), 0);
  for (int i = 0; i < fixture.semaphore.permits(); ++i) EXPECT_THAT(fixture.semaphore.Release(), IsOk());
  EXPECT_TRUE(fixture.semaphore.TryAcquire());
}

// What a process does once in its life is done.
void Prepare(Semaphore& semaphore) {
  semaphore.Release().IgnoreError();
  semaphore.TryAcquire();
  semaphore.Release().IgnoreError();
}

class SemaphoreEveryInstructionTest : public testing::LeakCheckedTest {
 protected:
  static void ExpectProved(const KillReport& report) {
    EXPECT_TRUE(report.completed);
    std::cout << report.ToString() << "\n";
  }
};

TEST_F(SemaphoreEveryInstructionTest, TheFirstAcquireOfAProcess) {
  const KillReport report = KillAtEveryInstruction(
      MakeFree, [](Fixture& fixture) { fixture.semaphore.Acquire().IgnoreError(); }, CheckAllFree,
      // What it does for the first time, it does in other ways each time.
      {.max_points = testing::Rounds(300)});
  EXPECT_TRUE(report.completed);
  std::cout << report.ToString() << "\n";
}

TEST_F(SemaphoreEveryInstructionTest, AcquireAndRelease) {
  for (const auto& make : {MakeFree, MakeTwo}) {
    ExpectProved(KillAtEveryInstruction(
        make,
        [](Fixture& fixture) {
          Prepare(fixture.semaphore);
          KillPointsStartHere();
          fixture.semaphore.Acquire().IgnoreError();
          fixture.semaphore.Release().IgnoreError();
        },
        CheckAllFree));
  }
}

// Of three: one gives the permit back, another takes it, and the first is killed before it has woken the third. For the
// kernel the permit has an owner then, so the wake-up is the new owner's.
TEST_F(SemaphoreEveryInstructionTest, ReleaseAfterWhichAnotherTakesThePermitBeforeTheDeath) {
  Semaphore semaphore = *Semaphore::Create();
  testing::Tracee::Instructions instructions;
  const auto give_back = [&] {
    semaphore.Acquire().IgnoreError();
    testing::Tracee::Begin();
    semaphore.Release().IgnoreError();
    testing::Tracee::End();
  };
  testing::Tracee giver(give_back, [] {}, /*can_wake=*/false, absl::Seconds(20), instructions);
  ASSERT_EQ(giver.where(), testing::Tracee::Where::kInside) << giver.error();
  TestChild sleeper([&] { return semaphore.Acquire().ok() ? 0 : 1; });
  ASSERT_TRUE(testing::AwaitState(sleeper.pid(), 'S'));
  while (semaphore.available() == 0) ASSERT_EQ(giver.Step(), testing::Tracee::Where::kInside);
  ASSERT_TRUE(semaphore.TryAcquire());
  giver.Kill();
  ASSERT_THAT(semaphore.Release(), IsOk());
  EXPECT_EQ(sleeper.Wait(), 0);
}

TEST_F(SemaphoreEveryInstructionTest, AcquireAfterADeath) {
  ExpectProved(KillAtEveryInstruction(
      MakeInherited,
      [](Fixture& fixture) {
        Semaphore(*Semaphore::Create()).TryAcquire();  // as in Prepare
        KillPointsStartHere();
        fixture.semaphore.Acquire().IgnoreError();
      },
      CheckAllFree));
}

TEST_F(SemaphoreEveryInstructionTest, AcquireThatIsToldThatTimeIsOver) {
  ExpectProved(KillAtEveryInstruction(
      MakeHeld,
      [](Fixture& fixture) {
        Semaphore(*Semaphore::Create()).TryAcquire();
        KillPointsStartHere();
        fixture.semaphore.Acquire(absl::ZeroDuration()).IgnoreError();
      },
      [](Fixture& fixture) {
        fixture.other->Kill();
        CheckAllFree(fixture);
      },
      kLong));
}

TEST_F(SemaphoreEveryInstructionTest, AcquireThatSleepsAndIsWoken) {
  const KillReport report = KillAtEveryInstruction(
      MakeHeld,
      [](Fixture& fixture) {
        Semaphore(*Semaphore::Create()).TryAcquire();
        KillPointsStartHere();
        fixture.semaphore.Acquire().IgnoreError();
      },
      [](Fixture& fixture) {
        fixture.other->Kill();
        CheckAllFree(fixture);
      },
      kLong, [](Fixture& fixture) { fixture.other->Kill(); });
  EXPECT_TRUE(report.completed);
  std::cout << report.ToString() << "\n";
}

// With one that sleeps for the permit as soon as the operation lets it, and ends well when it has got it.
std::unique_ptr<Fixture> MakeWithSleeper() {
  auto fixture = MakeFree();
  fixture->sleeper.emplace([&] { return fixture->semaphore.Acquire().ok(); });
  return fixture;
}

TEST_F(SemaphoreEveryInstructionTest, ReleaseWakesASleeper) {
  const KillReport report = KillAtEveryInstruction(
      MakeWithSleeper,
      [](Fixture& fixture) {
        Prepare(fixture.semaphore);
        fixture.semaphore.Acquire().IgnoreError();
        fixture.sleeper->AwaitAsleep();
        KillPointsStartHere();
        fixture.semaphore.Release().IgnoreError();
      },
      [](Fixture& fixture) {
        fixture.sleeper->AwaitEnded();  // with the permit, which it gave back by ending
        CheckAllFree(fixture);
      });
  EXPECT_TRUE(report.completed);
  std::cout << report.ToString() << "\n";
}

}  // namespace
}  // namespace ko
