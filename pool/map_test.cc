#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/os/futex.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/process_pool.h"
#include "ko/pool/test_pipe.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

int Double(int x) { return 2 * x; }
int Add(int a, int b) { return a + b; }
std::string Join(const std::string& a, int b) { return absl::StrCat(a, b); }
size_t Length(std::string_view text) { return text.size(); }
std::string Repeat(size_t bytes) { return std::string(bytes, 'x'); }
absl::StatusOr<int> RefuseOdd(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError(absl::StrCat(x, " is odd"));
  return x;
}
void Nothing(int) {}
// Tells that it runs, by a byte.
void SaySleepForEver(int fd, int) {
  (void)!::write(fd, "!", 1);
  for (;;) ::pause();
}

class MapTest : public testing::LeakCheckedTest {
 protected:
  static ProcessPool Make(PoolOptions options = {.workers = 2}) {
    absl::StatusOr<ProcessPool> pool = ProcessPool::Create(std::move(options));
    EXPECT_THAT(pool, IsOk());
    return *std::move(pool);
  }
};

TEST_F(MapTest, ResultsComeInOrderWhateverTheChunk) {
  ProcessPool pool = Make();
  for (const size_t chunk : {0, 1, 7, 1000, 100'000}) {
    const auto results = pool.Map<&Double>(std::views::iota(0, 3000), {.chunk = chunk});
    ASSERT_EQ(results.size(), 3000u);
    for (int i = 0; i < 3000; ++i) ASSERT_THAT(results[i], IsOkAndHolds(2 * i));
  }
}

TEST_F(MapTest, OfNothingIsNothing) {
  ProcessPool pool = Make();
  bool called = false;
  EXPECT_TRUE(pool.Map<&Double>(std::vector<int>{}, {.progress = [&](const MapProgress&) { called = true; }})
                  .empty());
  EXPECT_FALSE(called);
}

TEST_F(MapTest, ElementsAreTheArgumentsOfAFunctionOfSeveral) {
  ProcessPool pool = Make();
  const std::vector<std::pair<int, int>> pairs = {{1, 2}, {3, 4}};
  EXPECT_THAT(pool.Map<&Add>(pairs), ::testing::ElementsAre(IsOkAndHolds(3), IsOkAndHolds(7)));
  const std::vector<std::tuple<std::string_view, short>> tuples = {{"a", 1}, {"b", 2}};
  EXPECT_THAT(pool.Map<&Join>(tuples), ::testing::ElementsAre(IsOkAndHolds("a1"), IsOkAndHolds("b2")));
}

TEST_F(MapTest, EachElementHasItsOwnError) {
  ProcessPool pool = Make();
  const auto results = pool.Map<&RefuseOdd>(std::vector<int>{0, 1, 2}, {.chunk = 3});
  EXPECT_THAT(results[0], IsOkAndHolds(0));
  EXPECT_THAT(results[1], StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("1 is odd")));
  EXPECT_THAT(results[2], IsOkAndHolds(2));
}

TEST_F(MapTest, OfAFunctionWithoutResultItGivesStatuses) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Map<&Nothing>(std::vector<int>{1, 2}), ::testing::ElementsAre(IsOk(), IsOk()));
}

TEST_F(MapTest, LargeElementsAndResultsCross) {
  ProcessPool pool = Make({.workers = 2, .max_message_bytes = 400'000});
  std::vector<std::string> texts;
  for (size_t i = 0; i < 40; ++i) texts.push_back(std::string(i * 10'000, 'x'));
  const auto lengths = pool.Map<&Length>(texts, {.chunk = 40});
  for (size_t i = 0; i < 40; ++i) EXPECT_THAT(lengths[i], IsOkAndHolds(i * 10'000));
  std::vector<size_t> sizes(40, 399'000);
  for (const auto& result : pool.Map<&Repeat>(sizes, {.chunk = 40})) {
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(result->size(), 399'000u);
  }
}

TEST_F(MapTest, AnElementThatIsTooLongCostsOnlyItself) {
  ProcessPool pool = Make({.workers = 1, .max_message_bytes = 10'000});
  const std::vector<std::string> texts = {"a", std::string(20'000, 'x'), "bc"};
  EXPECT_THAT(pool.Map<&Length>(texts, {.chunk = 3}),
              ::testing::ElementsAre(IsOkAndHolds(1u), StatusIs(absl::StatusCode::kInvalidArgument),
                                     IsOkAndHolds(2u)));
  EXPECT_THAT(pool.Map<&Repeat>(std::vector<size_t>{1, 20'000, 2}, {.chunk = 3}),
              ::testing::ElementsAre(IsOkAndHolds("x"), StatusIs(absl::StatusCode::kResourceExhausted),
                                     IsOkAndHolds("xx")));
}

// Once they are known to be quick, several are handed out together.
TEST_F(MapTest, QuickOnesThatAreHandedOutOneByOneHaveTheirOwnResultsAndErrors) {
  std::vector<std::string> texts(5000);
  for (size_t i = 0; i < texts.size(); ++i) texts[i] = std::string(i % 10 == 7 ? 10'001 : i % 300, 'x');
  for (const size_t capacity : {1, 3, 11, 1024}) {
    ProcessPool pool = Make({.workers = 2, .capacity = capacity, .max_message_bytes = 10'000});
    const auto lengths = pool.Map<&Length>(texts, {.chunk = 1});
    for (size_t i = 0; i < texts.size(); ++i) {
      if (i % 10 == 7) {
        ASSERT_THAT(lengths[i], StatusIs(absl::StatusCode::kInvalidArgument)) << i;
      } else {
        ASSERT_THAT(lengths[i], IsOkAndHolds(texts[i].size())) << i;
      }
    }
  }
}

TEST_F(MapTest, ProgressGoesUpToAllOfThem) {
  ProcessPool pool = Make();
  std::vector<MapProgress> seen;
  pool.Map<&RefuseOdd>(std::views::iota(0, 1000),
                       {.progress = [&](const MapProgress& progress) { seen.push_back(progress); }});
  ASSERT_FALSE(seen.empty());
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i].done, seen[i - 1].done);
  EXPECT_EQ(seen.back().done, 1000u);
  EXPECT_EQ(seen.back().failed, 500u);
  EXPECT_EQ(seen.back().total, 1000u);
}

TEST_F(MapTest, SeveralRunInAPoolWithLittleRoom) {
  ProcessPool pool = Make({.workers = 2, .capacity = 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool] {
      const auto results = pool.Map<&Double>(std::views::iota(0, 200), {.chunk = 3});
      for (int i = 0; i < 200; ++i) EXPECT_THAT(results[i], IsOkAndHolds(2 * i));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(MapTest, AnInterruptCancelsWhatRunsAndWhatIsLeft) {
  TestPipe running;
  ProcessPool pool = Make();
  std::atomic<uint32_t> word = 0;
  std::thread interrupter([&] {
    running.Await();
    word.store(1);
    os::FutexWake(word, os::FutexScope::kPrivate, 1);
  });
  const std::vector<std::pair<int, int>> elements(200, {running.in(), 1});
  size_t done = 0;
  const auto results = pool.Map<&SaySleepForEver>(
      elements,
      {.retries = 3, .chunk = 3, .interrupt = {.word = &word}, .progress = [&](const MapProgress& p) {
         done = p.done;
       }});
  interrupter.join();
  ASSERT_EQ(results.size(), 200u);
  EXPECT_THAT(results, ::testing::Each(StatusIs(absl::StatusCode::kCancelled)));
  EXPECT_EQ(done, 200u);
  EXPECT_THAT(pool.Map<&Double>(std::vector<int>{1, 2}),
              ::testing::ElementsAre(IsOkAndHolds(2), IsOkAndHolds(4)));
}

TEST_F(MapTest, AnInterruptFromProgressKeepsWhatIsDone) {
  ProcessPool pool = Make();
  std::atomic<uint32_t> word = 0;
  const auto results = pool.Map<&Double>(
      std::views::iota(0, 5000),
      {.chunk = 1, .interrupt = {.word = &word}, .progress = [&](const MapProgress&) { word.store(1); }});
  ASSERT_EQ(results.size(), 5000u);
  int done = 0;
  for (int i = 0; i < 5000; ++i) {
    if (results[i].ok()) {
      ++done;
      EXPECT_THAT(results[i], IsOkAndHolds(2 * i));
    } else {
      ASSERT_THAT(results[i], StatusIs(absl::StatusCode::kCancelled));
    }
  }
  EXPECT_GE(done, 1);
  EXPECT_LT(done, 5000);
}

TEST_F(MapTest, OneThatIsInterruptedBeforeItBeginsRunsNothing) {
  ProcessPool pool = Make();
  const std::atomic<uint32_t> word = 1;
  EXPECT_THAT(pool.Map<&Double>(std::vector<int>{1, 2}, {.interrupt = {.word = &word}}),
              ::testing::Each(StatusIs(absl::StatusCode::kCancelled)));
}

TEST_F(MapTest, AfterFinishEachElementSaysSo) {
  ProcessPool pool = Make();
  ASSERT_THAT(pool.Finish(), IsOk());
  EXPECT_THAT(pool.Map<&Double>(std::vector<int>{1, 2}),
              ::testing::Each(StatusIs(absl::StatusCode::kFailedPrecondition)));
}

// Each element is read once to be measured and once to be packed; the last element's second look fails.
TEST_F(MapTest, WhatAnElementThrowsComesOutAndTakesNoRoom) {
  ProcessPool pool = Make({.workers = 1, .capacity = 20});
  for (const int count : {2, 2000}) {
    for (int round = 0; round < 10; ++round) {
      int looks = 0;
      const auto numbers = std::views::iota(0, count) | std::views::transform([&](int i) {
                             if (i == count - 1 && ++looks == 2) throw std::runtime_error("unreadable");
                             return i;
                           });
      EXPECT_THROW(pool.Map<&Double>(numbers, {.chunk = 1}), std::runtime_error);
    }
  }
  EXPECT_THAT(pool.Map<&Double>(std::vector<int>{1, 2, 3}),
              ::testing::ElementsAre(IsOkAndHolds(2), IsOkAndHolds(4), IsOkAndHolds(6)));
  EXPECT_THAT(pool.Finish(), IsOk());
}

}  // namespace
}  // namespace ko
