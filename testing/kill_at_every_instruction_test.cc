#include "ko/testing/kill_at_every_instruction.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"

namespace ko::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// What lies in shared memory.
struct Words {
  volatile uint32_t lock;
  volatile uint64_t a;
  volatile uint64_t b;
  char text[8192];
};

struct Fixture {
  Fixture() : memory(*os::SharedMapping::Create(sizeof(Words))), words(static_cast<Words*>(memory.data())) {}
  os::SharedMapping memory;
  Words* const words;
};

std::unique_ptr<Fixture> MakeFixture() { return std::make_unique<Fixture>(); }

// What is wrong with this on purpose: nobody frees the lock of a dead process, and the two counts are not
// counted at once. (Built-ins, because std::atomic is functions of its own where nothing is optimized.)
[[gnu::noinline]] void CountBoth(Words& words) {
  while (__atomic_exchange_n(&words.lock, 1, __ATOMIC_ACQUIRE) != 0) {
  }
  words.a = words.a + 1;
  words.b = words.b + 1;
  __atomic_store_n(&words.lock, 0, __ATOMIC_RELEASE);
}

[[gnu::noinline]] void CountOnce(Words& words) { words.a = words.a + 1; }

void DoNotCheck(Fixture&) {}

// The report of a run whose failures are expected, and the failures as gtest has got them.
struct Caught {
  KillReport report;
  std::vector<std::string> failures;
};

template <class... Args>
Caught CatchFailures(Args... args) {
  ::testing::TestPartResultArray results;
  Caught caught;
  {
    ::testing::ScopedFakeTestPartResultReporter reporter(&results);
    caught.report = KillAtEveryInstruction(args...);
  }
  for (int i = 0; i < results.size(); ++i) {
    EXPECT_FALSE(results.GetTestPartResult(i).fatally_failed());
    caught.failures.push_back(results.GetTestPartResult(i).message());
  }
  return caught;
}

class KillAtEveryInstructionTest : public LeakCheckedTest {
 protected:
  void SetUp() override {
    ::unsetenv("KO_KILL_POINTS");
    LeakCheckedTest::SetUp();
  }
};

TEST_F(KillAtEveryInstructionTest, OperationOfOneStorePasses) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture, [](Fixture& fixture) { CountOnce(*fixture.words); },
      [](Fixture& fixture, const KillPoint& point) {
        const uint64_t before = fixture.words->a;
        EXPECT_TRUE(point.completed ? before == 1 : before <= 1);
        CountOnce(*fixture.words);
        EXPECT_EQ(fixture.words->a, before + 1);
      },
      {.stride = 1});
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report.completed);
  EXPECT_GE(report.instructions, 5);
  EXPECT_EQ(report.points, report.instructions + 1);
  EXPECT_EQ(report.stride, 1);
  EXPECT_EQ(report.diverged, 0);
}

TEST_F(KillAtEveryInstructionTest, FixtureMayBeAValue) {
  int made = 0;
  const KillReport report = KillAtEveryInstruction([&made] { return ++made; }, [](int& value) { ++value; },
                                                   [](int& value) { EXPECT_GT(value, 1); });
  EXPECT_EQ(made, report.points + 1);
}

TEST_F(KillAtEveryInstructionTest, TornStateIsFoundInTheFunctionThatTearsIt) {
  const Caught caught = CatchFailures(
      MakeFixture, [](Fixture& fixture) { CountBoth(*fixture.words); },
      [](Fixture& fixture) { EXPECT_EQ(fixture.words->a, fixture.words->b) << "torn"; },
      KillOptions{.stride = 1, .max_failures = 1000});
  ASSERT_FALSE(caught.report.failures.empty());
  EXPECT_LT(caught.report.failures.size(), 30u);
  for (const KillFailure& failure : caught.report.failures) {
    EXPECT_THAT(failure.symbol, HasSubstr("CountBoth"));
    EXPECT_THAT(failure.text, AllOf(HasSubstr("torn"), HasSubstr("before instruction")));
    EXPECT_FALSE(failure.point.completed);
  }
  EXPECT_EQ(caught.failures.size(), caught.report.failures.size());
}

TEST_F(KillAtEveryInstructionTest, StuckLockIsAHangingCheck) {
  const Caught caught = CatchFailures(
      MakeFixture, [](Fixture& fixture) { CountBoth(*fixture.words); },
      [](Fixture& fixture) { CountBoth(*fixture.words); },
      KillOptions{.stride = 1, .max_failures = 2, .limit = absl::Milliseconds(300)});
  ASSERT_EQ(caught.report.failures.size(), 2u);
  EXPECT_TRUE(caught.report.gave_up);
  for (const KillFailure& failure : caught.report.failures) {
    EXPECT_THAT(failure.symbol, HasSubstr("CountBoth"));
    EXPECT_THAT(failure.text, HasSubstr("the check hangs"));
  }
  EXPECT_THAT(caught.failures, Contains(HasSubstr("the rest is not tried")));
}

TEST_F(KillAtEveryInstructionTest, CrashingCheckIsAFailure) {
  const Caught caught = CatchFailures(
      MakeFixture, [](Fixture&) {},
      [](Fixture&) {
        std::signal(SIGUSR1, SIG_DFL);
        ::raise(SIGUSR1);
      },
      KillOptions{.max_failures = 1});
  ASSERT_EQ(caught.report.failures.size(), 1u);
  EXPECT_THAT(caught.report.failures[0].text, HasSubstr("ended by signal 10"));
}

TEST_F(KillAtEveryInstructionTest, SystemCallIsTriedBeforeAndAfter) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        fixture.words->a = 1;
        ::syscall(SYS_getpid);
        fixture.words->b = 1;
      },
      [](Fixture& fixture) { EXPECT_LE(fixture.words->b, fixture.words->a); });
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.points, report.instructions + 1);
}

TEST_F(KillAtEveryInstructionTest, ClockIsSteppedThrough) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        timespec now;
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        fixture.words->a = now.tv_sec;
      },
      [](Fixture& fixture, const KillPoint& point) {
        if (point.completed) {
          EXPECT_GT(fixture.words->a, 0u);
        }
      });
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report.completed);
}

void Sleep(volatile uint32_t& word) {
  while (word == 0) ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
}

TEST_F(KillAtEveryInstructionTest, SleepForGoodIsTheLastKillPoint) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        fixture.words->a = 1;
        Sleep(fixture.words->lock);
      },
      [](Fixture& fixture, const KillPoint& point) {
        EXPECT_FALSE(point.completed);
        EXPECT_EQ(point.asleep, point.instruction == point.instructions);
        if (point.asleep) {
          EXPECT_EQ(fixture.words->a, 1u);
        }
      });
  EXPECT_TRUE(report.left_asleep);
  EXPECT_FALSE(report.completed);
}

TEST_F(KillAtEveryInstructionTest, SleeperThatIsWokenIsTriedToItsEnd) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        Sleep(fixture.words->lock);
        fixture.words->a = 1;
      },
      [](Fixture& fixture, const KillPoint& point) {
        if (point.completed) {
          EXPECT_EQ(fixture.words->a, 1u);
        }
        if (point.asleep) {
          EXPECT_EQ(fixture.words->lock, 0u);
        }
      },
      {},
      [](Fixture& fixture) {
        fixture.words->lock = 1;
        ::syscall(SYS_futex, &fixture.words->lock, FUTEX_WAKE, 1, nullptr, nullptr, 0);
      });
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.diverged, 0);
}

TEST_F(KillAtEveryInstructionTest, OperationMayEndItsProcess) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        fixture.words->a = 1;
        ::_exit(3);
      },
      [](Fixture& fixture, const KillPoint& point) {
        if (point.completed) {
          EXPECT_EQ(fixture.words->a, 1u);
        }
      });
  EXPECT_TRUE(report.completed);
}

TEST_F(KillAtEveryInstructionTest, OperationThatNeverEndsFails) {
  const Caught caught = CatchFailures(
      MakeFixture,
      [](Fixture& fixture) {
        while (fixture.words->lock == 0) {
        }
      },
      DoNotCheck, KillOptions{.max_instructions = 500});
  EXPECT_TRUE(caught.report.gave_up);
  EXPECT_EQ(caught.report.points, 0);
  EXPECT_THAT(caught.failures, Contains(HasSubstr("has not returned after 500 instructions")));
}

TEST_F(KillAtEveryInstructionTest, OperationThatForksFails) {
  const Caught caught = CatchFailures(
      MakeFixture,
      [](Fixture&) {
        if (::fork() == 0) ::_exit(0);
      },
      DoNotCheck);
  EXPECT_TRUE(caught.report.gave_up);
  EXPECT_THAT(caught.failures, Contains(HasSubstr("forks or starts a thread")));
}

TEST_F(KillAtEveryInstructionTest, OperationThatCrashesFails) {
  const Caught caught = CatchFailures(
      MakeFixture,
      [](Fixture&) {
        std::signal(SIGUSR1, SIG_DFL);
        ::raise(SIGUSR1);
      },
      DoNotCheck);
  EXPECT_THAT(caught.failures, Contains(HasSubstr("ended by signal 10")));
}

Words* handled = nullptr;

TEST_F(KillAtEveryInstructionTest, SignalHandlerIsPartOfTheOperation) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        handled = fixture.words;
        std::signal(SIGUSR1, [](int) { handled->a = 1; });
        ::raise(SIGUSR1);
        fixture.words->b = 1;
      },
      [](Fixture& fixture) { EXPECT_LE(fixture.words->b, fixture.words->a); });
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.diverged, 0);
}

TEST_F(KillAtEveryInstructionTest, LongRepeatedInstructionIsCutShort) {
  const KillReport report = KillAtEveryInstruction(
      MakeFixture,
      [](Fixture& fixture) {
        void* to = fixture.words->text;
        size_t count = sizeof fixture.words->text;
        asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"('x') : "memory");
        fixture.words->a = 1;
      },
      [](Fixture& fixture, const KillPoint& point) {
        if (point.completed) {
          EXPECT_EQ(fixture.words->text[sizeof fixture.words->text - 1], 'x');
        }
      });
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.coalesced, 1);
  EXPECT_LT(report.instructions, 1000);
  EXPECT_EQ(report.diverged, 0);
}

TEST_F(KillAtEveryInstructionTest, PreparationIsNotTried) {
  const auto prepare_and_count = [](Fixture& fixture) {
    fixture.words->b = 7;
    KillPointsStartHere();
    CountOnce(*fixture.words);
  };
  const KillReport report = KillAtEveryInstruction(MakeFixture, prepare_and_count,
                                                   [](Fixture& fixture) { EXPECT_EQ(fixture.words->b, 7u); });
  EXPECT_TRUE(report.completed);
}

TEST_F(KillAtEveryInstructionTest, PreparationMaySleep) {
  int runs = 0;
  const auto make = [&runs] {
    ++runs;
    return MakeFixture();
  };
  const auto prepare_and_count = [&runs](Fixture& fixture) {
    const timespec moment = {0, 2'000'000};
    if (runs > 1)
      ::nanosleep(&moment, nullptr);  // a sleep that is recorded would be where the operation stays
    fixture.words->b = 7;
    KillPointsStartHere();
    CountOnce(*fixture.words);
  };
  const KillReport report = KillAtEveryInstruction(make, prepare_and_count,
                                                   [](Fixture& fixture) { EXPECT_EQ(fixture.words->b, 7u); });
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.diverged, 0);
}

TEST_F(KillAtEveryInstructionTest, PointsBeyondTheMaximumAreThinnedOutAndTold) {
  const auto loop = [](Fixture& fixture) {
    for (int i = 0; i < 200; ++i) CountOnce(*fixture.words);
  };
  const KillReport report =
      KillAtEveryInstruction(MakeFixture, loop, DoNotCheck, {.max_points = 20, .offset = 3});
  EXPECT_GT(report.stride, 1);
  EXPECT_EQ(report.offset, 3 % report.stride);
  EXPECT_LE(report.points, 21);
  EXPECT_GE(report.points, 15);
  EXPECT_THAT(report.ToString(), HasSubstr("every"));
}

TEST_F(KillAtEveryInstructionTest, TheEnvironmentMayAskForFewerPoints) {
  const auto loop = [](Fixture& fixture) {
    for (int i = 0; i < 200; ++i) CountOnce(*fixture.words);
  };
  ::setenv("KO_KILL_POINTS", "10", 1);
  const KillReport report = KillAtEveryInstruction(MakeFixture, loop, DoNotCheck, {.max_points = 20});
  ::unsetenv("KO_KILL_POINTS");
  EXPECT_LE(report.points, 11);
  EXPECT_GE(report.points, 7);
}

TEST_F(KillAtEveryInstructionTest, OperationThatGoesAnotherWayIsSteppedAndTold) {
  int run = 0;
  const auto setup = [&run] {
    auto fixture = MakeFixture();
    fixture->words->lock = run++ == 0 ? 0 : 1;  // the recorded run goes one way, all others another
    return fixture;
  };
  const KillReport report = KillAtEveryInstruction(
      setup,
      [](Fixture& fixture) {
        if (fixture.words->lock == 0) {
          fixture.words->a = 1;
          ::syscall(SYS_getpid);
        } else {
          fixture.words->b = 1;
        }
      },
      [](Fixture& fixture) { EXPECT_EQ(fixture.words->a, 0u); });
  EXPECT_GT(report.diverged, 0);
  EXPECT_EQ(report.points, report.instructions + 1);
}

}  // namespace
}  // namespace ko::testing
