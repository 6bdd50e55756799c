#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/ipc/shared_memory.h"
#include "ko/testing/kill_at_every_instruction.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Each operation that changes the map, killed before each of its instructions: what was there stays, the change has
// happened or not, nothing leaks, nothing stays locked.

namespace ko {
namespace {

using ::testing::AnyOf;
using testing::IsOk;
using testing::KillAtEveryInstruction;
using testing::KillOptions;
using testing::KillPoint;
using testing::KillPointsStartHere;
using testing::KillReport;

struct Pair {
  uint64_t a, b, c;
};

// The keys with what they have, as text.
using Contents = std::vector<std::pair<std::string, std::string>>;

Contents Read(SharedMemory& memory) {
  Contents contents;
  for (const std::string& key : memory.Keys()) {
    const absl::StatusOr<std::string> text = memory.Get<std::string>(key);
    const absl::StatusOr<int64_t> number = memory.Get<int64_t>(key);
    const absl::StatusOr<Pair> pair = memory.Get<Pair>(key);
    contents.emplace_back(key, text.ok()     ? "text " + *text
                               : number.ok() ? absl::StrCat("number ", *number)
                               : pair.ok()   ? absl::StrCat("pair ", pair->a, " ", pair->b, " ", pair->c)
                                             : std::string(pair.status().message()));
  }
  return contents;
}

size_t BlocksOf(SharedMemory& memory) {
  size_t blocks = 0;
  for (const std::string& key : memory.Keys()) {
    blocks += 1 + (key.size() > 16 ? (key.size() - 16 + 63) / 64 : 0);
    blocks +=
        (memory.Get<std::string>(key).value_or("").size() + 63) / 64 + (memory.Get<Pair>(key).ok() ? 1 : 0);
  }
  return blocks;
}

const std::string kLongKey(100, 'k');

std::unique_ptr<SharedMemory> Fill() {
  // So small that all keys share a few buckets.
  auto memory = std::make_unique<SharedMemory>(*SharedMemory::Create(20 * 64));
  EXPECT_THAT(memory->Set("first", 1), IsOk());
  EXPECT_THAT(memory->Set("text", std::string(100, 'a')), IsOk());
  EXPECT_THAT(memory->Set(kLongKey, std::string(70, 'b')), IsOk());
  EXPECT_THAT(memory->Set("pair", Pair{1, 2, 3}), IsOk());
  EXPECT_THAT(memory->Set("gone", 1), IsOk());
  EXPECT_THAT(memory->Erase("gone"), IsOk());
  EXPECT_THAT(memory->Set("n", 5), IsOk());
  return memory;
}

void Check(SharedMemory& memory, const Contents& before, const Contents& after, const KillPoint& point) {
  const Contents now = Read(memory);
  if (point.completed) {
    EXPECT_EQ(now, after);
  } else {
    EXPECT_THAT(now, AnyOf(before, after));
  }
  EXPECT_EQ(memory.size(), now.size());
  EXPECT_EQ(memory.used_bytes(), BlocksOf(memory) * 64) << "nothing leaks";
  EXPECT_THAT(memory.Lock(absl::Seconds(5)), IsOk());
  EXPECT_THAT(memory.Release(), IsOk());
  EXPECT_THAT(memory.Set("another", 1), IsOk());
  EXPECT_THAT(memory.Clear(), IsOk());
  EXPECT_EQ(memory.used_bytes(), 0u);
}

class SharedMemoryEveryInstructionTest : public testing::LeakCheckedTest {
 protected:
  // `operation` changes the map from what Fill has made to one other state.
  void Prove(std::function<void(SharedMemory&)> operation, KillOptions options = {}) {
    std::unique_ptr<SharedMemory> sample = Fill();
    const Contents before = Read(*sample);
    operation(*sample);
    const Contents after = Read(*sample);
    sample.reset();
    const KillReport report = KillAtEveryInstruction(
        Fill,
        [&](SharedMemory& memory) {
          memory.Erase("not there").IgnoreError();  // what a process does once is proved below
          KillPointsStartHere();
          operation(memory);
        },
        [&](SharedMemory& memory, const KillPoint& point) { Check(memory, before, after, point); }, options);
    EXPECT_TRUE(report.completed);
    std::cout << report.ToString() << "\n";
  }
};

TEST_F(SharedMemoryEveryInstructionTest, SetOfANewKey) {
  Prove([](SharedMemory& memory) { memory.Set("new", 7).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetOfALongNewKeyWithAText) {
  Prove([](SharedMemory& memory) { memory.Set(std::string(90, 'z'), std::string(130, 'c')).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetOfANumberInPlace) {
  Prove([](SharedMemory& memory) { memory.Set("n", 6).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetOfATextInPlace) {
  Prove([](SharedMemory& memory) { memory.Set("text", std::string(150, 'd')).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetOfAStruct) {
  Prove([](SharedMemory& memory) { memory.Set("pair", Pair{4, 5, 6}).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetOfAnotherType) {
  Prove([](SharedMemory& memory) { memory.Set("text", 8).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetThatDoesNotFit) {
  // Most of it makes the error's message.
  Prove([](SharedMemory& memory) { memory.Set("text", std::string(900, 'e')).IgnoreError(); },
        {.max_points = 400});
}

TEST_F(SharedMemoryEveryInstructionTest, Erase) {
  for (const char* key : {"first", "text", "n"}) {
    Prove([key](SharedMemory& memory) { memory.Erase(key).IgnoreError(); });
  }
}

TEST_F(SharedMemoryEveryInstructionTest, EraseOfALongKey) {
  Prove([](SharedMemory& memory) { memory.Erase(kLongKey).IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, Clear) {
  Prove([](SharedMemory& memory) { memory.Clear().IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, Increment) {
  Prove([](SharedMemory& memory) { memory.Increment<int>("n", 3).status().IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, Update) {
  Prove([](SharedMemory& memory) {
    memory.Update<int>("n", 0, [](int n) { return n * 2; }).status().IgnoreError();
  });
}

TEST_F(SharedMemoryEveryInstructionTest, CompareExchange) {
  Prove([](SharedMemory& memory) { memory.CompareExchange<int>("n", 5, 9).status().IgnoreError(); });
}

TEST_F(SharedMemoryEveryInstructionTest, SetBetweenLockAndRelease) {
  Prove([](SharedMemory& memory) {
    memory.Lock().IgnoreError();
    memory.Set("n", 6).IgnoreError();
    memory.Release().IgnoreError();
  });
}

TEST_F(SharedMemoryEveryInstructionTest, TheFirstWriteOfAProcess) {
  const KillReport report = KillAtEveryInstruction(
      Fill, [](SharedMemory& memory) { memory.Set("n", 6).IgnoreError(); },
      [](SharedMemory& memory) {
        EXPECT_THAT(memory.Get<int>("n").value(), AnyOf(5, 6));
        EXPECT_THAT(memory.Set("n", 7), IsOk());
      });
  EXPECT_TRUE(report.completed);
  std::cout << report.ToString() << "\n";
}

// The map as a process leaves it that dies between the commit of an Erase and what follows, repaired by one that dies
// too.
TEST_F(SharedMemoryEveryInstructionTest, RepairAfterADeath) {
  const auto fill_and_die = [] {
    std::unique_ptr<SharedMemory> memory = Fill();
    const pid_t child = ::fork();
    if (child == 0) {
      memory->Lock().IgnoreError();
      ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    return memory;
  };
  std::unique_ptr<SharedMemory> sample = Fill();
  const Contents before = Read(*sample);
  sample->Set("n", 6).IgnoreError();
  const Contents after = Read(*sample);
  sample.reset();
  const KillReport report = KillAtEveryInstruction(
      fill_and_die, [](SharedMemory& memory) { memory.Set("n", 6).IgnoreError(); },
      [&](SharedMemory& memory, const KillPoint& point) { Check(memory, before, after, point); });
  EXPECT_TRUE(report.completed);
  std::cout << report.ToString() << "\n";
}

}  // namespace
}  // namespace ko
