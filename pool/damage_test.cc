// Workers that overwrite what they share with the caller, at random and where it hurts, and die: the caller gets an answer for
// each task, and neither crashes nor waits for ever.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/pool_segment.h"
#include "ko/pool/process_pool.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;

// What is written over a task's place in the shared memory.
struct Damage {
  uint64_t marker;  // of this item alone
  uint8_t near_result_bytes;
  uint64_t result_bytes;
  uint32_t result_is_large;
  uint32_t items_started;
  uint64_t item_bytes;
  uint32_t item_code;
  int32_t signal;  // 0: the worker lives on
};

constexpr uint8_t kElsewhere = pool::TaskSlot::kResultsElsewhere;

struct Place {
  pool::TaskSlot* task = nullptr;
  pool::WorkerSlot* worker = nullptr;  // the first one
};

// The task with an item of this marker, somewhere in what this process shares.
Place FindTask(uint64_t marker) {
  const std::string_view pattern(reinterpret_cast<char*>(&marker), sizeof marker);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::vector<std::string_view> words = absl::StrSplit(line, absl::ByAnyChar("- "));
    uintptr_t begin = 0, end = 0;
    if (words.size() < 3 || words[2] != "rw" || !absl::StrContains(line, "rw-s")) continue;
    if (!absl::SimpleHexAtoi(words[0], &begin) || !absl::SimpleHexAtoi(words[1], &end)) continue;
    const std::string_view bytes(reinterpret_cast<char*>(begin), std::min<size_t>(end - begin, 64 << 10));
    const size_t at = bytes.find(pattern);
    if (at == std::string_view::npos) continue;
    uintptr_t slot = begin + at - offsetof(pool::TaskSlot, arguments);
    while (slot % alignof(pool::TaskSlot) != 0)
      slot -= sizeof(Damage);  // one task's items follow one another
    return {reinterpret_cast<pool::TaskSlot*>(slot),
            reinterpret_cast<pool::WorkerSlot*>(begin + sizeof(pool::PoolHeader))};
  }
  return {};
}

int DoDamage(Damage damage) {
  const auto [slot, worker] = FindTask(damage.marker);
  if (slot == nullptr) return 1;
  slot->near_result_bytes = damage.near_result_bytes;
  slot->result_bytes = damage.result_bytes;
  slot->result_is_large = damage.result_is_large;
  worker->items_started = damage.items_started;
  const pool::ItemHeader header = damage.item_bytes << 8 | (damage.item_code & 0xff);
  std::memcpy(slot->near_results, &header, sizeof header);
  std::memcpy(slot->results, &header, sizeof header);
  if (damage.signal != 0) std::raise(damage.signal);
  return 0;
}
int Add(int a, int b) { return a + b; }

uint64_t NewMarker() {
  static uint64_t last = 0xfeedc0dedeadbeef;
  return last += 0x0101010101010101;
}

class DamageTest : public testing::LeakCheckedTest {};

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr std::array<uint64_t, 10> kSizes = {0, 1, 7, 8, 9, 224, 232, 233, uint64_t{1} << 63, kMost};
constexpr std::array<uint8_t, 6> kNearSizes = {0, 7, 8, 16, 17, kElsewhere};

PoolOptions OneWorker() { return {.workers = 1, .capacity = 4, .max_message_bytes = 4096}; }

TEST_F(DamageTest, ATaskWhoseResultWasOverwrittenFailsAlone) {
  absl::StatusOr<ProcessPool> pool = ProcessPool::Create(OneWorker());
  ASSERT_THAT(pool, IsOk());
  for (const uint64_t result_bytes : kSizes) {
    for (const uint64_t item_bytes : kSizes) {
      for (const uint32_t large : {0, 1}) {
        const Damage damage = {NewMarker(), kElsewhere, result_bytes, large, 1, item_bytes, 0, SIGKILL};
        EXPECT_FALSE(pool->Submit<&DoDamage>(damage).Get().ok()) << result_bytes << " " << item_bytes;
      }
    }
  }
  EXPECT_THAT((pool->Submit<&Add>(1, 2).Get()), IsOkAndHolds(3));
}

TEST_F(DamageTest, ATaskWhoseNearResultWasOverwrittenFailsAlone) {
  absl::StatusOr<ProcessPool> pool = ProcessPool::Create(OneWorker());
  ASSERT_THAT(pool, IsOk());
  for (const uint8_t near : kNearSizes) {
    for (const uint64_t item_bytes : kSizes) {
      const Damage damage = {NewMarker(), near, 0, 0, 1, item_bytes, 0, SIGKILL};
      EXPECT_FALSE(pool->Submit<&DoDamage>(damage).Get().ok()) << int{near} << " " << item_bytes;
    }
  }
  EXPECT_THAT((pool->Submit<&Add>(1, 2).Get()), IsOkAndHolds(3));
}

TEST_F(DamageTest, WhatAWorkerOverwritesBeforeItWritesItsResultDoesNoHarm) {
  absl::StatusOr<ProcessPool> pool = ProcessPool::Create(OneWorker());
  ASSERT_THAT(pool, IsOk());
  const Damage damage = {NewMarker(), kElsewhere, kMost, 0, 7, kMost, 99, 0};
  EXPECT_THAT(pool->Submit<&DoDamage>(damage).Get(), IsOkAndHolds(0));
}

TEST_F(DamageTest, ArbitraryDamageInChunksLeavesThePoolUsable) {
  absl::StatusOr<ProcessPool> pool = ProcessPool::Create(OneWorker());
  ASSERT_THAT(pool, IsOk());
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < testing::Rounds(100); ++round) {
    const auto size = [&] { return random() % 2 == 0 ? random() : kSizes[random() % kSizes.size()]; };
    std::vector<Damage> damages(3);
    for (Damage& damage : damages) {
      damage = {NewMarker(),
                kNearSizes[random() % kNearSizes.size()],
                size(),
                static_cast<uint32_t>(random() % 3),
                static_cast<uint32_t>(random() % 5),
                size(),
                static_cast<uint32_t>(random() % 20),
                random() % 2 == 0 ? SIGKILL : 0};
    }
    EXPECT_EQ(pool->Map<&DoDamage>(damages, {.retries = 1, .chunk = 3}).size(), damages.size());
    EXPECT_THAT((pool->Submit<&Add>(round, 1).Get()), IsOkAndHolds(round + 1));
  }
}

int OverwriteQueueWhere(uint64_t marker, bool damages) {
  if (!damages) return 0;
  const auto [slot, worker] = FindTask(marker);
  if (slot == nullptr) return 1;
  char* const after_header = reinterpret_cast<char*>(worker);
  reinterpret_cast<pool::PoolHeader*>(after_header - sizeof(pool::PoolHeader))->tail = 1'000'000;
  return 0;
}

// Each element that finds no way into the queue says so, however many there are, and leaves nothing to be waited for.
TEST_F(DamageTest, ElementsAfterTheQueueWasOverwrittenFailAndTakeNoRoom) {
  absl::StatusOr<ProcessPool> pool =
      ProcessPool::Create({.workers = 1, .capacity = 20, .max_message_bytes = 4096});
  ASSERT_THAT(pool, IsOk());
  std::vector<std::tuple<uint64_t, bool>> elements;
  for (int i = 0; i < 500; ++i) elements.emplace_back(NewMarker(), i == 100);
  const auto results = pool->Map<&OverwriteQueueWhere>(elements, {.chunk = 1});
  EXPECT_THAT(results[100], IsOkAndHolds(0));
  EXPECT_THAT(results.back(), testing::StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(pool->Finish(absl::Seconds(10)), IsOk());
}

}  // namespace
}  // namespace ko
