#include "ko/testing/kill_at_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"

namespace ko::testing {
namespace {

using ::testing::HasSubstr;

struct Words {
  std::atomic<uint64_t> count;
  std::atomic<uint32_t> lock;
  std::atomic<uint64_t> starts;
};

// The failure that is expected of a run, in one text.
std::string CatchFailures(const std::function<void()>& run) {
  ::testing::TestPartResultArray results;
  {
    ::testing::ScopedFakeTestPartResultReporter reporter(&results);
    run();
  }
  std::string text;
  for (int i = 0; i < results.size(); ++i) text += results.GetTestPartResult(i).message();
  return text;
}

class KillAtRandomTest : public LeakCheckedTest {
 protected:
  void TearDown() override {
    memory_ = {};
    LeakCheckedTest::TearDown();
  }
  Words& words() {
    if (!memory_.valid()) memory_ = *os::SharedMapping::Create(sizeof(Words));
    return *static_cast<Words*>(memory_.data());
  }
  os::SharedMapping memory_;
};

TEST_F(KillAtRandomTest, KillsAndStartsAnewUntilTheRoundsAreOver) {
  Words& shared = words();
  const auto count = [&](uint64_t) {
    ++shared.count;
    return true;
  };
  bool checked = false;
  const RandomKillReport report =
      KillAtRandom({{"one", count}, {"two", count}}, {.kills = Rounds(300), .stop_every = 5}, [&] {
        checked = true;
        EXPECT_GT(shared.count, 0u);
      });
  EXPECT_TRUE(checked);
  EXPECT_GE(report.kills, Rounds(300));
  EXPECT_EQ(report.failure, "");
  EXPECT_LE(report.turns, shared.count);  // a death between the count and the note of it
  EXPECT_NE(report.seed, 0u);
}

TEST_F(KillAtRandomTest, LockThatADeadProcessKeepsIsToldWithWhereAllAre) {
  Words& shared = words();
  const auto lock_and_count = [&](uint64_t) {
    while (shared.lock.exchange(1) != 0) {
    }
    ++shared.count;
    shared.lock = 0;
    return true;
  };
  const std::string failure = CatchFailures([&] {
    KillAtRandom({{"first", lock_and_count}, {"second", lock_and_count}},
                 {.kills = 100'000, .limit = absl::Milliseconds(500)}, [] { FAIL() << "checked"; });
  });
  EXPECT_THAT(failure, HasSubstr("nothing has gone on for 500ms"));
  EXPECT_THAT(failure, HasSubstr("first: process"));
  EXPECT_THAT(failure, HasSubstr("seed"));
}

TEST_F(KillAtRandomTest, TurnThatGoesWrongIsToldAndNothingIsChecked) {
  Words& shared = words();
  const std::string failure = CatchFailures([&] {
    KillAtRandom({{"wrong", [&](uint64_t) { return ++shared.count < 3; }}},
                 {.kills = 100'000, .limit = absl::Seconds(1)}, [] { FAIL() << "checked"; });
  });
  EXPECT_THAT(failure, ::testing::AnyOf(HasSubstr("ended by itself"), HasSubstr("nothing has gone on")));
}

}  // namespace
}  // namespace ko::testing
