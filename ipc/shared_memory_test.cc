#include "ko/ipc/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <climits>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// What the map does; shared_memory_process_test.cc and its neighbours tell what several processes see.

namespace ko {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

SharedMemory Make(size_t capacity_bytes = 64 << 10) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(capacity_bytes);
  EXPECT_THAT(memory, IsOk());
  return *std::move(memory);
}

class SharedMemoryTest : public testing::LeakCheckedTest {};

struct Point {
  int32_t x, y;
  friend bool operator==(const Point&, const Point&) = default;
};
struct Large {
  std::array<int, 100> numbers;
  double real;
  friend bool operator==(const Large&, const Large&) = default;
};
enum class Color : uint8_t { kRed = 7, kBlue = 200 };

TEST_F(SharedMemoryTest, EachKindOfValueComesBackAsItWas) {
  SharedMemory memory = Make();
  Large large = {};
  large.numbers[99] = 12;
  large.real = 0.5;
  EXPECT_THAT(memory.Set("bool", true), IsOk());
  EXPECT_THAT(memory.Set("int", -5), IsOk());
  EXPECT_THAT(memory.Set("largest", std::numeric_limits<uint64_t>::max()), IsOk());
  EXPECT_THAT(memory.Set("real", 2.25), IsOk());
  EXPECT_THAT(memory.Set("literal", "text"), IsOk());
  EXPECT_THAT(memory.Set("bytes", std::string("a\0b", 3)), IsOk());
  EXPECT_THAT(memory.Set("point", Point{1, -2}), IsOk());
  EXPECT_THAT(memory.Set("large", large), IsOk());
  EXPECT_THAT(memory.Set("color", Color::kBlue), IsOk());
  EXPECT_THAT(memory.Get<bool>("bool"), IsOkAndHolds(true));
  EXPECT_THAT(memory.Get<int>("int"), IsOkAndHolds(-5));
  EXPECT_THAT(memory.Get<uint64_t>("largest"), IsOkAndHolds(std::numeric_limits<uint64_t>::max()));
  EXPECT_THAT(memory.Get<double>("real"), IsOkAndHolds(2.25));
  EXPECT_THAT(memory.Get<float>("real"), IsOkAndHolds(2.25f));
  EXPECT_THAT(memory.Get<std::string>("literal"), IsOkAndHolds("text"));
  EXPECT_THAT(memory.Get<std::string>("bytes"), IsOkAndHolds(std::string("a\0b", 3)));
  EXPECT_THAT(memory.Get<Point>("point"), IsOkAndHolds(Point{1, -2}));
  EXPECT_THAT(memory.Get<Large>("large"), IsOkAndHolds(large));
  EXPECT_THAT(memory.Get<Color>("color"), IsOkAndHolds(Color::kBlue));
  EXPECT_EQ(memory.size(), 9u);
}

TEST_F(SharedMemoryTest, IntegersAreOneTypeWithinTheirRanges) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Set("n", 200), IsOk());
  EXPECT_THAT(memory.Get<int64_t>("n"), IsOkAndHolds(200));
  EXPECT_THAT(memory.Get<uint8_t>("n"), IsOkAndHolds(200));
  EXPECT_THAT(memory.Get<int8_t>("n"), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(memory.Set("n", -1), IsOk());
  EXPECT_THAT(memory.Get<int8_t>("n"), IsOkAndHolds(-1));
  EXPECT_THAT(memory.Get<uint64_t>("n"), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(memory.Set("n", std::numeric_limits<int64_t>::min()), IsOk());
  EXPECT_THAT(memory.Get<int64_t>("n"), IsOkAndHolds(std::numeric_limits<int64_t>::min()));
  EXPECT_THAT(memory.Get<int>("n"), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(memory.Set("n", uint64_t{1} << 63), IsOk());
  EXPECT_THAT(memory.Get<int64_t>("n"), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(memory.Get<uint64_t>("n"), IsOkAndHolds(uint64_t{1} << 63));
}

TEST_F(SharedMemoryTest, AnotherTypeIsInvalidArgumentAndAMissingKeyNotFound) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Set("text", "5"), IsOk());
  EXPECT_THAT(memory.Set("number", 5), IsOk());
  EXPECT_THAT(memory.Set("point", Point{1, 2}), IsOk());
  EXPECT_THAT(memory.Get<int>("text"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<Large>("text"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<std::string>("number"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<bool>("number"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<double>("number"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<int64_t>("point"), StatusIs(absl::StatusCode::kInvalidArgument));
  const absl::Status missing = memory.Get<int>("a\nb").status();
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(missing.message(), HasSubstr("a\\nb"));
}

TEST_F(SharedMemoryTest, AKeyMayChangeItsType) {
  SharedMemory memory = Make();
  const auto used = [&] { return memory.used_bytes(); };
  EXPECT_THAT(memory.Set("first", 1), IsOk());
  EXPECT_THAT(memory.Set("k", 1), IsOk());
  EXPECT_THAT(memory.Set("last", 1), IsOk());
  const size_t before = used();
  EXPECT_THAT(memory.Set("k", std::string(1000, 'x')), IsOk());
  EXPECT_THAT(memory.Get<std::string>("k"), IsOkAndHolds(std::string(1000, 'x')));
  EXPECT_THAT(memory.Set("k", true), IsOk());
  EXPECT_THAT(memory.Get<bool>("k"), IsOkAndHolds(true));
  EXPECT_EQ(used(), before);
  EXPECT_THAT(memory.Keys(), ElementsAre("first", "k", "last"));
}

TEST_F(SharedMemoryTest, ReadsNeverMakeAKey) {
  SharedMemory memory = Make();
  EXPECT_FALSE(memory.Contains("k"));
  EXPECT_FALSE(memory["k"].exists());
  EXPECT_FALSE(memory["k"] == 0);
  EXPECT_FALSE(memory.Get<int>("k").ok());
  EXPECT_EQ(memory.size(), 0u);
  EXPECT_TRUE(memory.empty());
}

TEST_F(SharedMemoryTest, KeysStandInTheOrderOfTheirInsertion) {
  SharedMemory memory = Make();
  std::vector<std::string> wanted;
  for (int i = 0; i < 200; ++i) {
    wanted.push_back(absl::StrCat("key ", i * 7919 % 200));
    ASSERT_THAT(memory.Set(wanted.back(), i), IsOk());
  }
  ASSERT_THAT(memory.Set(wanted[3], "again"), IsOk());
  EXPECT_EQ(memory.Keys(), wanted);
  ASSERT_THAT(memory.Erase(wanted[3]), IsOk());
  ASSERT_THAT(memory.Set(wanted[3], "at the end"), IsOk());
  wanted.push_back(wanted[3]);
  wanted.erase(wanted.begin() + 3);
  EXPECT_EQ(memory.Keys(), wanted);
}

TEST_F(SharedMemoryTest, EraseTakesOneKeyAway) {
  SharedMemory memory = Make();
  ASSERT_THAT(memory.Set("a", 1), IsOk());
  ASSERT_THAT(memory.Set("b", "two"), IsOk());
  EXPECT_THAT(memory.Erase("a"), IsOk());
  EXPECT_THAT(memory.Erase("a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(memory.Contains("a"));
  EXPECT_THAT(memory.Keys(), ElementsAre("b"));
}

TEST_F(SharedMemoryTest, ClearLeavesAnEmptyMapOfFullCapacity) {
  SharedMemory memory = Make();
  const size_t at_first = memory.used_bytes();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 300; ++i) ASSERT_THAT(memory.Set(absl::StrCat(i), std::string(100, 'x')), IsOk());
    EXPECT_THAT(memory.Clear(), IsOk());
    EXPECT_EQ(memory.size(), 0u);
    EXPECT_THAT(memory.Keys(), IsEmpty());
    EXPECT_FALSE(memory.Contains("7"));
    EXPECT_EQ(memory.used_bytes(), at_first);
  }
  EXPECT_THAT(memory.Clear(), IsOk()) << "an empty one too";
}

TEST_F(SharedMemoryTest, KeysAndValuesOfAnySizeIncludingNone) {
  SharedMemory memory = Make(64 << 20);
  const std::vector<size_t> sizes = {0,  1,  7,  8,   15,  16,  17,   63,   64,
                                     65, 80, 81, 127, 128, 129, 1000, 4096, 5'000'000};
  const auto text = [](size_t bytes, char first) {
    std::string text(bytes, first);
    for (size_t i = 1; i < bytes; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    return text;
  };
  for (const size_t bytes : sizes) ASSERT_THAT(memory.Set(text(bytes, 'k'), text(bytes, 'v')), IsOk());
  EXPECT_EQ(memory.size(), sizes.size());
  std::vector<std::string> keys;
  for (const size_t bytes : sizes) {
    keys.push_back(text(bytes, 'k'));
    EXPECT_THAT(memory.Get<std::string>(keys.back()), IsOkAndHolds(text(bytes, 'v'))) << bytes;
  }
  EXPECT_EQ(memory.Keys(), keys);
  for (const std::string& key : keys) EXPECT_THAT(memory.Erase(key), IsOk());
  EXPECT_EQ(memory.used_bytes(), 0u);
}

TEST_F(SharedMemoryTest, KeysThatDifferInOneByteAnywhereAreDifferent) {
  SharedMemory memory = Make(1 << 20);
  const std::string base(200, 'a');
  ASSERT_THAT(memory.Set(base, -1), IsOk());
  for (int i = 0; i < 200; ++i) {
    std::string key = base;
    key[i] = 'b';
    ASSERT_THAT(memory.Set(key, i), IsOk());
  }
  for (int i = 0; i < 200; ++i) {
    std::string key = base;
    key[i] = 'b';
    EXPECT_THAT(memory.Get<int>(key), IsOkAndHolds(i));
  }
  for (size_t bytes = 0; bytes < 200; ++bytes) EXPECT_FALSE(memory.Contains(base.substr(0, bytes)));
  EXPECT_FALSE(memory.Contains(std::string(3, '\0'))) << "zeros are bytes as well";
  EXPECT_FALSE(memory.Contains(std::string()));
}

TEST_F(SharedMemoryTest, AFullMapIsResourceExhaustedAndUnchanged) {
  SharedMemory memory = Make(4096);
  int count = 0;
  absl::Status status;
  while ((status = memory.Set(absl::StrCat(count), std::string(100, 'x'))).ok()) ++count;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(count, 4096 / (3 * 64));
  const std::vector<std::string> keys = memory.Keys();
  const size_t used = memory.used_bytes();
  EXPECT_THAT(memory.Set("0", std::string(1000, 'y')), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(memory.Set(std::string(1000, 'k'), 1), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(memory.Set("0", std::string(1 << 20, 'y')), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(memory.Get<std::string>("0"), IsOkAndHolds(std::string(100, 'x')));
  EXPECT_EQ(memory.Keys(), keys);
  EXPECT_EQ(memory.used_bytes(), used);
  EXPECT_LE(memory.used_bytes(), memory.capacity_bytes());
  EXPECT_THAT(memory.Erase("0"), IsOk());
  EXPECT_THAT(memory.Set("again", std::string(100, 'x')), IsOk());
}

TEST_F(SharedMemoryTest, AllOfTheCapacityCanBeUsed) {
  SharedMemory memory = Make(1 << 20);
  EXPECT_THAT(memory.Set("k", std::string((1 << 20) - 64, 'x')), IsOk());
  EXPECT_EQ(memory.used_bytes(), memory.capacity_bytes());
  EXPECT_THAT(memory.Set("n", 1), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SharedMemoryTest, AMillionSetsAndErasesOfRandomSizesDoNotFillIt) {
  SharedMemory memory = Make(64 << 10);
  std::minstd_rand random(1);
  std::map<std::string, std::string> wanted;
  size_t bytes = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string key = absl::StrCat("key ", random() % 40);
    const auto found = wanted.find(key);
    if (found != wanted.end() && random() % 2 == 0) {
      ASSERT_THAT(memory.Erase(key), IsOk());
      bytes -= found->second.size();
      wanted.erase(found);
      continue;
    }
    std::string value(random() % (random() % 8 == 0 ? 5000 : 300), static_cast<char>(i));
    if (found != wanted.end()) bytes -= found->second.size();
    // There is room for the old value and the new one, and 127 bytes that each may waste.
    if (bytes + 2 * value.size() + (found != wanted.end() ? found->second.size() : 0) + 40 * 128 > 60'000) {
      if (found != wanted.end()) bytes += found->second.size();
      continue;
    }
    ASSERT_THAT(memory.Set(key, value), IsOk()) << i;
    bytes += value.size();
    wanted[key] = std::move(value);
  }
  EXPECT_EQ(memory.size(), wanted.size());
  for (const auto& [key, value] : wanted) EXPECT_THAT(memory.Get<std::string>(key), IsOkAndHolds(value));
}

TEST_F(SharedMemoryTest, AHundredThousandKeys) {
  SharedMemory memory = Make(100'000 * 64);
  for (int i = 0; i < 100'000; ++i) ASSERT_THAT(memory.Set(absl::StrCat("key", i), i), IsOk());
  EXPECT_EQ(memory.size(), 100'000u);
  for (int i = 0; i < 100'000; ++i) ASSERT_THAT(memory.Get<int>(absl::StrCat("key", i)), IsOkAndHolds(i));
  const std::vector<std::string> keys = memory.Keys();
  ASSERT_EQ(keys.size(), 100'000u);
  EXPECT_EQ(keys[77'777], "key77777");
}

TEST_F(SharedMemoryTest, IncrementCountsAMissingKeyAsZero) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Increment<int>("n"), IsOkAndHolds(1));
  EXPECT_THAT(memory.Increment<int>("n", 41), IsOkAndHolds(42));
  EXPECT_THAT(memory.Increment<int64_t>("n", -50), IsOkAndHolds(-8));
  EXPECT_THAT(memory.Increment<double>("x", 0.5), IsOkAndHolds(0.5));
  EXPECT_THAT(memory.Increment<double>("x", 0.25), IsOkAndHolds(0.75));
}

TEST_F(SharedMemoryTest, IncrementBeyondTheTypeIsOutOfRangeAndChangesNothing) {
  SharedMemory memory = Make();
  ASSERT_THAT(memory.Set("n", 100), IsOk());
  EXPECT_THAT(memory.Increment<int8_t>("n", 28), StatusIs(absl::StatusCode::kOutOfRange));
  ASSERT_THAT(memory.Set("m", std::numeric_limits<int64_t>::max()), IsOk());
  EXPECT_THAT(memory.Increment<int64_t>("m", 1), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(memory.Increment<uint64_t>("m", 1), IsOkAndHolds(uint64_t{1} << 63));
  ASSERT_THAT(memory.Set("t", "text"), IsOk());
  EXPECT_THAT(memory.Increment<int>("t", 1), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(memory.Get<int>("n"), IsOkAndHolds(100));
  EXPECT_THAT(memory.Get<std::string>("t"), IsOkAndHolds("text"));
}

TEST_F(SharedMemoryTest, UpdateTakesBothShapesOfFunctionsAndMayUseTheMemory) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Update<int>("n", 10, [](int n) { return n + 1; }), IsOkAndHolds(11));
  EXPECT_THAT(memory.Update<std::string>("list", "", [](std::string& list) { list += "a,"; }),
              IsOkAndHolds("a,"));
  EXPECT_THAT(memory.Update<int>("n", 0,
                                 [&](int n) {
                                   EXPECT_THAT(memory.Set("other", n), IsOk());
                                   EXPECT_THAT(memory.Lock(), IsOk());
                                   EXPECT_THAT(memory.Release(), IsOk());
                                   return *memory.Get<int>("n") * 2;
                                 }),
              IsOkAndHolds(22));
  EXPECT_THAT(memory.Get<int>("other"), IsOkAndHolds(11));
  EXPECT_THAT(memory.Release(), StatusIs(absl::StatusCode::kFailedPrecondition)) << "it is free again";
}

TEST_F(SharedMemoryTest, UpdateThatThrowsSetsNothingAndReleases) {
  SharedMemory memory = Make();
  ASSERT_THAT(memory.Set("n", 1), IsOk());
  EXPECT_THROW(memory.Update<int>("n", 0, [](int) -> int { throw std::runtime_error("no"); }).IgnoreError(),
               std::runtime_error);
  EXPECT_THAT(memory.Get<int>("n"), IsOkAndHolds(1));
  EXPECT_THAT(memory.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(SharedMemoryTest, CompareExchangeSetsOnlyWhereTheValueIsAsExpected) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.CompareExchange<int>("n", 1, 2), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(memory.Set("n", 1), IsOk());
  EXPECT_THAT(memory.CompareExchange<int>("n", 5, 2), IsOkAndHolds(false));
  EXPECT_THAT(memory.CompareExchange<int>("n", 1, 2), IsOkAndHolds(true));
  EXPECT_THAT(memory.Get<int>("n"), IsOkAndHolds(2));
  ASSERT_THAT(memory.Set("s", "a"), IsOk());
  EXPECT_THAT(memory.CompareExchange<std::string>("s", "a", "b"), IsOkAndHolds(true));
  EXPECT_THAT(memory.CompareExchange<int>("s", 1, 2), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(memory.Set("p", Point{1, 2}), IsOk());
  EXPECT_THAT(memory.CompareExchange<Point>("p", {1, 2}, {3, 4}), IsOkAndHolds(true));
}

TEST_F(SharedMemoryTest, EntriesReadLikeVariables) {
  SharedMemory memory = Make();
  memory["n"] = 5;
  const int n = memory["n"];
  EXPECT_EQ(n, 5);
  EXPECT_EQ(memory["n"] += 2, 7);
  EXPECT_EQ(memory["n"] -= 3, 4);
  EXPECT_EQ(++memory["n"], 5);
  EXPECT_EQ(--memory["n"], 4);
  EXPECT_TRUE(memory["n"] == 4);
  EXPECT_TRUE(memory["n"] != 5);
  memory["title"] = "a";
  std::string title = memory["title"];
  EXPECT_EQ(title, "a");
  title = memory["n"].Get<std::string>().value_or("none");
  EXPECT_EQ(title, "none");
  EXPECT_TRUE(memory["title"] == "a");
  memory["copy"] = memory["title"];
  EXPECT_TRUE(memory["copy"] == "a");
  memory["real"] = 0.5;
  const double real = memory["real"];
  EXPECT_EQ(real, 0.5);
  memory["point"] = Point{1, 2};
  const Point point = memory["point"];
  EXPECT_EQ(point.y, 2);
  EXPECT_THAT(memory["point"].Erase(), IsOk());
  EXPECT_FALSE(memory["point"].exists());
}

TEST_F(SharedMemoryTest, AnEntryThatCannotIsABadStatusOrAccess) {
  SharedMemory memory = Make(4096);
  EXPECT_THROW(static_cast<void>(static_cast<int>(memory["missing"])), absl::BadStatusOrAccess);
  EXPECT_THROW(memory["k"] = std::string(10'000, 'x'), absl::BadStatusOrAccess);
  memory["t"] = "text";
  EXPECT_THROW(memory["t"] += 1, absl::BadStatusOrAccess);
}

TEST_F(SharedMemoryTest, LockIsReentrantAndCounted) {
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Lock(), IsOk());
  EXPECT_THAT(memory.Lock(absl::ZeroDuration()), IsOk());
  EXPECT_THAT(memory.Set("k", 1), IsOk());
  EXPECT_TRUE(memory.Contains("k"));
  EXPECT_THAT(memory.Increment<int>("k", 1), IsOkAndHolds(2));
  EXPECT_THAT(memory.Release(), IsOk());
  std::thread([&] {
    EXPECT_THAT(memory.Lock(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
    EXPECT_THAT(memory.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(memory.Get<int>("k"), IsOkAndHolds(2)) << "reads take no lock";
    EXPECT_THAT(memory.Keys(), ElementsAre("k"));
  }).join();
  EXPECT_THAT(memory.Release(), IsOk());
  std::thread([&] {
    EXPECT_THAT(memory.Lock(absl::ZeroDuration()), IsOk());
    EXPECT_THAT(memory.Release(), IsOk());
  }).join();
}

TEST_F(SharedMemoryTest, AThreadThatEndsReleasesItsLock) {
  SharedMemory memory = Make();
  std::thread([&] { EXPECT_THAT(memory.Lock(), IsOk()); }).join();
  EXPECT_THAT(memory.Set("k", 1), IsOk());
}

TEST_F(SharedMemoryTest, DestructionOfALockedOneLeavesTheThreadUsable) {
  {
    SharedMemory memory = Make();
    ASSERT_THAT(memory.Lock(), IsOk());
    ASSERT_THAT(memory.Lock(), IsOk());
  }
  SharedMemory memory = Make();
  EXPECT_THAT(memory.Lock(), IsOk());
  EXPECT_THAT(memory.Release(), IsOk());
}

TEST_F(SharedMemoryTest, AMovedFromOneIsEmptyAndRefuses) {
  SharedMemory memory = Make();
  memory["k"] = 1;
  SharedMemory moved = std::move(memory);
  EXPECT_TRUE(moved["k"] == 1);
  EXPECT_THAT(memory.Set("k", 1), StatusIs(absl::StatusCode::kFailedPrecondition));  // NOLINT
  EXPECT_THAT(memory.Get<int>("k"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Erase("k"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Clear(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Lock(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(memory.Increment<int>("k", 1), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(memory.Contains("k"));
  EXPECT_EQ(memory.size() + memory.used_bytes() + memory.capacity_bytes() + memory.Keys().size(), 0u);
}

TEST_F(SharedMemoryTest, CapacitiesThatCannotBeAreInvalidOrExhausted) {
  EXPECT_THAT(SharedMemory::Create(0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SharedMemory::Create(SIZE_MAX), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SharedMemory::Create(1), IsOk());
  testing::InChild([] {
    const rlimit limit = {1 << 30, 1 << 30};
    ::setrlimit(RLIMIT_AS, &limit);
    EXPECT_THAT(SharedMemory::Create(size_t{1} << 36), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

}  // namespace
}  // namespace ko
