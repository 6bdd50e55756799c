#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/ipc/shared_memory.h"
#include "ko/ipc/test_child.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// Writers under load, killed at any instant and started again; every change accounted for.

namespace ko {
namespace {

using ::testing::AnyOf;
using testing::IsOk;
using testing::Rounds;

constexpr int kWriters = 4;

// Beside the map, in memory of its own: what each writer has begun and finished.
struct Ledger {
  std::atomic<uint64_t> begun[kWriters], finished[kWriters];
  std::atomic<uint64_t> operations;
};

class SharedMemoryKillTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<SharedMemory> memory = SharedMemory::Create(256 << 10);
    absl::StatusOr<os::SharedMapping> ledger = os::SharedMapping::Create(sizeof(Ledger));
    ASSERT_THAT(memory, IsOk());
    ASSERT_THAT(ledger, IsOk());
    memory_ = std::make_unique<SharedMemory>(*std::move(memory));
    mapping_ = *std::move(ledger);
    ledger_ = new (mapping_.data()) Ledger();
  }
  void TearDown() override {
    memory_.reset();
    mapping_ = os::SharedMapping();
    LeakCheckedTest::TearDown();
  }

  static std::string Text(uint64_t seed) {
    return std::string(seed % 600, static_cast<char>('a' + seed % 26));
  }

  // Of one writer, whose keys nobody else writes, and a counter that all have.
  int Write(int writer) {
    const std::string mine = absl::StrCat("writer ", writer), count = absl::StrCat("count ", writer);
    while (true) {
      const uint64_t n = ledger_->begun[writer] = ledger_->finished[writer] + 1;
      if (!memory_->Set(mine, Text(n)).ok()) return 1;
      if (!memory_->Set(count, n).ok()) return 2;
      if (!memory_->Increment<uint64_t>("all").ok()) return 3;
      const std::string other = absl::StrCat("a key of another length ", writer, " ", n % 40);
      if (n % 3 == 0) {
        memory_->Erase(other).IgnoreError();
      } else if (!memory_->Set(other, Text(n / 2)).ok()) {
        return 4;
      }
      if (n % 16 == 0 && !memory_->Set(mine, n).ok()) return 5;  // another type
      if (!memory_->Update<uint64_t>("updated", 0, [](uint64_t value) { return value + 1; }).ok()) return 6;
      ledger_->finished[writer] = n;
      ++ledger_->operations;
    }
  }

  void CheckAll(uint64_t kills) {
    uint64_t finished = 0;
    for (int writer = 0; writer < kWriters; ++writer) {
      const uint64_t done = ledger_->finished[writer];
      finished += done;
      const uint64_t count = memory_->Get<uint64_t>(absl::StrCat("count ", writer)).value_or(0);
      ASSERT_THAT(count, AnyOf(done, ledger_->begun[writer].load()));
      const absl::StatusOr<std::string> text = memory_->Get<std::string>(absl::StrCat("writer ", writer));
      if (text.ok()) {
        ASSERT_THAT(*text, AnyOf(Text(done), Text(ledger_->begun[writer])));
      }
    }
    // What a killed one had begun may be done or not, and is done again.
    for (const char* key : {"all", "updated"}) {
      const uint64_t sum = memory_->Get<uint64_t>(key).value_or(0);
      ASSERT_GE(sum, finished) << key;
      ASSERT_LE(sum, finished + kills) << key;
    }
    const std::vector<std::string> keys = memory_->Keys();
    ASSERT_EQ(keys.size(), memory_->size());
    size_t blocks = 0;
    for (const std::string& key : keys) {
      const absl::StatusOr<std::string> text = memory_->Get<std::string>(key);
      blocks += 1 + (key.size() > 16 ? (key.size() - 16 + 63) / 64 : 0) +
                (text.ok() ? (text->size() + 63) / 64 : 0);
    }
    ASSERT_EQ(memory_->used_bytes(), blocks * 64) << "nothing leaks";
  }

  std::unique_ptr<SharedMemory> memory_;
  os::SharedMapping mapping_;
  Ledger* ledger_ = nullptr;
};

TEST_F(SharedMemoryKillTest, NothingIsTornLostOrLockedWhateverIsKilled) {
  std::vector<TestChild> writers;
  for (int i = 0; i < kWriters; ++i) writers.emplace_back([this, i] { return Write(i); });
  std::minstd_rand random(1);
  constexpr int kRounds = Rounds(2500);
  for (int round = 1; round <= kRounds; ++round) {
    const uint64_t operations = ledger_->operations;
    while (ledger_->operations < operations + random() % 30) {
    }
    const auto victim = static_cast<int>(random() % kWriters);
    ASSERT_EQ(writers[victim].KillAndWait(), -SIGKILL);
    if (round % 100 == 0) {
      for (int i = 0; i < kWriters; ++i) {
        if (i != victim) writers[i].KillAndWait();
      }
      ASSERT_NO_FATAL_FAILURE(CheckAll(2 * kWriters * round));
      for (int i = 0; i < kWriters; ++i) writers[i] = TestChild([this, i] { return Write(i); });
    } else {
      writers[victim] = TestChild([this, victim] { return Write(victim); });
    }
  }
}

}  // namespace
}  // namespace ko
