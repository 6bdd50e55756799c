#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/ipc/shared_memory.h"
#include "ko/ipc/test_child.h"
#include "ko/os/deadline.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/unique_name.h"

// What several processes see of one map.

namespace ko {
namespace {

using testing::AwaitState;
using ::testing::ElementsAre;
using testing::Gate;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::Rounds;
using testing::StatusIs;

class SharedMemoryProcessTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<SharedMemory> memory = SharedMemory::Create();
    ASSERT_THAT(memory, IsOk());
    memory_ = std::make_unique<SharedMemory>(*std::move(memory));
  }
  void TearDown() override {
    memory_.reset();
    LeakCheckedTest::TearDown();
  }
  // A child that locks it and stays.
  TestChild HoldLocked(Gate& locked) {
    TestChild holder([&] {
      EXPECT_THAT(memory_->Lock(), IsOk());
      locked.Open();
      while (true) ::pause();
      return 0;
    });
    EXPECT_TRUE(locked.Pass());
    return holder;
  }

  std::unique_ptr<SharedMemory> memory_;
};

TEST_F(SharedMemoryProcessTest, WhatOneSetsAllSee) {
  InChild([&] { (*memory_)["k"] = "from the child"; });
  EXPECT_TRUE((*memory_)["k"] == "from the child");
  EXPECT_THAT(memory_->Keys(), ElementsAre("k"));
}

TEST_F(SharedMemoryProcessTest, FourTimesAThousandIncrementsAreFourThousand) {
  std::vector<TestChild> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) (*memory_)["n"] += 1;
      return 0;
    });
  }
  for (TestChild& child : children) EXPECT_EQ(child.Wait(), 0);
  EXPECT_THAT(memory_->Get<int>("n"), IsOkAndHolds(4000));
}

TEST_F(SharedMemoryProcessTest, StepsUnderLockAndUpdatesAreNotMixed) {
  std::vector<TestChild> children;
  constexpr int kEach = Rounds(2000);
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&, i] {
      for (int n = 0; n < kEach; ++n) {
        if (i % 2 == 0) {
          if (!memory_->Lock().ok()) return 1;
          (*memory_)["n"] = memory_->Get<int>("n").value_or(0) + 1;
          if (!memory_->Release().ok()) return 1;
        } else if (!memory_->Update<int>("n", 0, [](int value) { return value + 1; }).ok()) {
          return 1;
        }
      }
      return 0;
    });
  }
  for (TestChild& child : children) EXPECT_EQ(child.Wait(), 0);
  EXPECT_THAT(memory_->Get<int>("n"), IsOkAndHolds(4 * kEach));
}

TEST_F(SharedMemoryProcessTest, OneWinsEachCompareExchange) {
  (*memory_)["owner"] = 0;
  std::vector<TestChild> children;
  for (int i = 1; i <= 4; ++i) {
    children.emplace_back([&, i] { return memory_->CompareExchange<int>("owner", 0, i).value() ? 1 : 0; });
  }
  int winners = 0;
  for (TestChild& child : children) winners += child.Wait();
  EXPECT_EQ(winners, 1);
}

TEST_F(SharedMemoryProcessTest, ADeadHoldersLockGoesToASleeper) {
  Gate locked;
  TestChild holder = HoldLocked(locked);
  TestChild waiter([&] { return memory_->Lock().ok() && memory_->Set("k", 1).ok() ? 0 : 1; });
  ASSERT_TRUE(AwaitState(waiter.pid(), 'S'));
  EXPECT_EQ(holder.KillAndWait(), -SIGKILL);
  EXPECT_EQ(waiter.Wait(), 0);
  EXPECT_THAT(memory_->Set("k", 2), IsOk()) << "and the waiter has released it by ending";
}

TEST_F(SharedMemoryProcessTest, WritersWaitForAHolderAndReadersDoNot) {
  (*memory_)["k"] = 1;
  Gate locked;
  TestChild holder = HoldLocked(locked);
  EXPECT_THAT(memory_->Get<int>("k"), IsOkAndHolds(1));
  EXPECT_EQ(memory_->size(), 1u);
  EXPECT_THAT(memory_->Keys(), ElementsAre("k"));
  EXPECT_THAT(memory_->Lock(absl::Milliseconds(10)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  TestChild writer([&] { return memory_->Set("k", 2).ok() ? 0 : 1; });
  ASSERT_TRUE(AwaitState(writer.pid(), 'S'));
  EXPECT_THAT(memory_->Get<int>("k"), IsOkAndHolds(1));
  EXPECT_EQ(holder.KillAndWait(), -SIGKILL);
  EXPECT_EQ(writer.Wait(), 0);
  EXPECT_THAT(memory_->Get<int>("k"), IsOkAndHolds(2));
}

TEST_F(SharedMemoryProcessTest, AForkedChildDoesNotHoldItsParentsLock) {
  ASSERT_THAT(memory_->Lock(), IsOk());
  ASSERT_THAT(memory_->Lock(), IsOk());
  InChild([&] {
    EXPECT_THAT(memory_->Release(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(memory_->Lock(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  });
  EXPECT_THAT(memory_->Release(), IsOk());
  EXPECT_THAT(memory_->Release(), IsOk());
  InChild([&] {
    EXPECT_THAT(memory_->Lock(absl::ZeroDuration()), IsOk());
    EXPECT_THAT(memory_->Release(), IsOk());
  });
}

// Two values that writers keep equal in each version of the string, and in length.
TEST_F(SharedMemoryProcessTest, ReadsAreNeverTornWhileOthersWrite) {
  const auto text = [](uint32_t seed) { return std::string(seed % 700, static_cast<char>('a' + seed % 26)); };
  struct Pair {
    uint64_t first[20], last;
  };
  std::vector<TestChild> writers;
  for (uint32_t i = 0; i < 2; ++i) {
    writers.emplace_back([&, i] {
      for (uint32_t n = i;; n += 2) {
        Pair pair = {};
        for (uint64_t& part : pair.first) part = n;
        pair.last = n;
        if (!memory_->Set("pair", pair).ok() || !memory_->Set("text", text(n)).ok()) return 1;
        if (n % 5 == 0) memory_->Erase("text").IgnoreError();
        if (n % 7 == 0) memory_->Set("text", n).IgnoreError();
        if (n % 101 == 0) memory_->Clear().IgnoreError();
        memory_->Set(absl::StrCat(n % 50), text(n / 3)).IgnoreError();
      }
    });
  }
  int found = 0;
  for (int i = 0; i < Rounds(200'000); ++i) {
    const absl::StatusOr<Pair> pair = memory_->Get<Pair>("pair");
    if (pair.ok()) {
      for (const uint64_t part : pair->first) ASSERT_EQ(part, pair->last);
      ++found;
    } else {
      ASSERT_THAT(pair, StatusIs(absl::StatusCode::kNotFound));
    }
    const absl::StatusOr<std::string> got = memory_->Get<std::string>("text");
    if (got.ok() && !got->empty()) {
      ASSERT_EQ(*got, std::string(got->size(), (*got)[0]));
    }
    if (i % 1000 == 0) {
      ASSERT_LE(memory_->Keys().size(), 52u);
    }
  }
  EXPECT_GT(found, 0);
  for (TestChild& writer : writers) EXPECT_EQ(writer.KillAndWait(), -SIGKILL);
}

TEST_F(SharedMemoryProcessTest, NamedMemoryIsForUnrelatedProcessesUntilItIsUnlinked) {
  const std::string name = testing::UniqueName("memory-test");
  {
    absl::StatusOr<SharedMemory> made = SharedMemory::Create(10'000, {.name = name});
    ASSERT_THAT(made, IsOk());
    (*made)["k"] = "v";
  }
  EXPECT_THAT(SharedMemory::Create(10'000, {.name = name}), StatusIs(absl::StatusCode::kAlreadyExists));
  absl::StatusOr<SharedMemory> opened = SharedMemory::Open(name);
  ASSERT_THAT(opened, IsOk());
  EXPECT_TRUE((*opened)["k"] == "v");
  EXPECT_EQ(opened->capacity_bytes(), 157u * 64);
  EXPECT_THAT(SharedMemory::Unlink(name), IsOk());
  EXPECT_THAT(SharedMemory::Open(name), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(opened->Set("k", 1), IsOk()) << "who has it keeps it";
  EXPECT_THAT(SharedMemory::Unlink(name), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(SharedMemory::Create(10, {.name = "a/b"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ko
