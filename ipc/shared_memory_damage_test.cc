#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/ipc/memory_segment.h"
#include "ko/ipc/shared_memory.h"
#include "ko/ipc/shared_memory_test_peer.h"
#include "ko/os/named_mapping.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/unique_name.h"

// Bytes in shared memory that somebody has overwritten.

namespace ko {

namespace {

using testing::InChild;
using testing::IsOk;
using testing::Rounds;
using testing::StatusIs;

class SharedMemoryDamageTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    Fill();
  }
  void TearDown() override {
    memory_.reset();
    LeakCheckedTest::TearDown();
  }
  void Fill() {
    memory_ = std::make_unique<SharedMemory>(*SharedMemory::Create(8192));
    for (int i = 0; i < 10; ++i) {
      ASSERT_THAT(memory_->Set(absl::StrCat("n", i), i), IsOk());
      ASSERT_THAT(
          memory_->Set(absl::StrCat("a key that is too long for its node ", i), std::string(20 * i, 'x')),
          IsOk());
    }
    for (int i = 0; i < 10; i += 3) ASSERT_THAT(memory_->Erase(absl::StrCat("n", i)), IsOk());
  }
  const MemorySegment& segment() const { return SharedMemoryTestPeer::Segment(*memory_); }
  // Each call there is; what they return does not matter.
  void UseAll(unsigned seed) {
    for (int i = 0; i < 10; ++i) {
      const std::string number = absl::StrCat("n", i),
                        text = absl::StrCat("a key that is too long for its node ", i);
      memory_->Get<int>(number).status().IgnoreError();
      memory_->Get<std::string>(text).status().IgnoreError();
      memory_->Contains(text);
      memory_->Set(number, "another type").IgnoreError();
      memory_->Set(text, std::string((seed + i) % 300, 'y')).IgnoreError();
      memory_->Increment<int>(number, 1).status().IgnoreError();
      memory_->Erase(i % 2 == 0 ? number : text).IgnoreError();
    }
    memory_->Keys();
    memory_->size();
    memory_->used_bytes();
    if (seed % 4 == 0) memory_->Clear().IgnoreError();
    memory_->Set("last", 1).IgnoreError();
  }

  std::unique_ptr<SharedMemory> memory_;
};

TEST_F(SharedMemoryDamageTest, ABucketThatLeadsNowhereIsDataLossFromThenOn) {
  for (uint32_t i = 0; i < segment().geometry.buckets; ++i) segment().buckets[i] = UINT32_MAX;
  EXPECT_THAT(memory_->Get<int>("n1"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(memory_->Set("n1", 1), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(memory_->Clear(), StatusIs(absl::StatusCode::kDataLoss)) << "whatever it would repair";
}

TEST_F(SharedMemoryDamageTest, NodesInACircleAreDataLossAndNoEndlessLoop) {
  for (uint32_t i = 0; i < segment().geometry.buckets; ++i) {
    const uint32_t node = segment().buckets[i].load();
    if (node != 0) segment().Node(node).next = node;
  }
  EXPECT_THAT(memory_->Set("a key that is not there", 1), IsOk()) << "where its bucket is empty";
  bool lost = false;
  for (int i = 0; i < 100; ++i) lost |= absl::IsDataLoss(memory_->Erase(absl::StrCat("missing ", i)));
  EXPECT_TRUE(lost);
}

TEST_F(SharedMemoryDamageTest, AValueLargerThanTheMemoryIsDataLoss) {
  for (uint32_t i = 0; i < segment().geometry.buckets; ++i) {
    for (uint32_t node = segment().buckets[i].load(); node != 0; node = segment().Node(node).next) {
      segment().Node(node).values[segment().Node(node).version & 1] = PackExtent(UINT32_MAX, 1);
    }
  }
  EXPECT_THAT(memory_->Get<std::string>("a key that is too long for its node 1"),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SharedMemoryDamageTest, AWrongNumberOfFreeBlocksIsDataLoss) {
  segment().header->taken_blocks = 0;
  segment().header->fresh_blocks = UINT32_MAX;
  segment().header->free_block = 0;
  EXPECT_THAT(memory_->Set("new", "x"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SharedMemoryDamageTest, ALockHeldByNobodyIsDataLoss) {
  segment().header->lock.word = 0x3ffffffe;  // no thread has such an id
  EXPECT_THAT(memory_->Set("n1", 1), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(memory_->Get<int>("n1"), IsOk());
}

TEST_F(SharedMemoryDamageTest, ANamedObjectThatIsSomethingElseIsDataLoss) {
  const std::string name = testing::UniqueName("damage-test");
  for (const size_t bytes : {sizeof(MemoryHeader) - 1, sizeof(MemoryHeader), size_t{1} << 16}) {
    ASSERT_THAT(os::CreateNamedMapping(name, bytes, [](void*) {}), IsOk());
    EXPECT_THAT(SharedMemory::Open(name), StatusIs(absl::StatusCode::kDataLoss));
    ASSERT_THAT(SharedMemory::Unlink(name), IsOk());
    ASSERT_THAT(os::CreateNamedMapping(name, bytes, [&](void* data) { std::memset(data, 0xee, bytes); }),
                IsOk());
    EXPECT_THAT(SharedMemory::Open(name), StatusIs(absl::StatusCode::kDataLoss));
    ASSERT_THAT(SharedMemory::Unlink(name), IsOk());
  }
}

// A thread that the lock's word names by chance is waited for, so that word is left out.
TEST_F(SharedMemoryDamageTest, AnyBytesGiveValuesOrErrorsAndNeverACrashOrALoop) {
  const auto result = InChild([&] {
    std::minstd_rand random(1);
    for (int round = 0; round < Rounds(3000); ++round) {
      Fill();
      const MemorySegment& s = segment();
      auto* const bytes = reinterpret_cast<std::atomic<uint8_t>*>(s.header);
      const auto is_lock = [&](size_t offset) {
        return offset >= offsetof(MemoryHeader, lock) &&
               offset < offsetof(MemoryHeader, lock) + sizeof(os::RobustFutex);
      };
      // In turn: single bytes anywhere, the header and the buckets, runs of equal bytes, numbers of blocks as words.
      for (int i = 0; i < 1 << (round % 8); ++i) {
        const size_t end = round % 3 == 0 ? s.geometry.links_offset : s.geometry.segment_bytes;
        size_t offset = random() % end;
        const size_t run = round % 5 == 0 ? random() % 64 : 1;
        const uint8_t value = round % 2 == 0 ? random() % 160 : static_cast<uint8_t>(random());
        for (size_t j = 0; j < run && offset + j < end; ++j) {
          if (!is_lock(offset + j)) bytes[offset + j] = value;
        }
      }
      if (round % 7 == 0) s.header->state = random() % 4;
      UseAll(static_cast<unsigned>(random()));
    }
  });
  EXPECT_TRUE(result.ok()) << result.err;
}

TEST_F(SharedMemoryDamageTest, ALockWhoseWordIsOverwrittenLeavesTheThreadsListWithTheMemory) {
  for (const uint32_t word : {0u, 1u, ~0u}) {
    absl::StatusOr<SharedMemory> memory = SharedMemory::Create(1 << 20);
    ASSERT_THAT(memory, IsOk());
    ASSERT_THAT(memory->Lock(), IsOk());
    SharedMemoryTestPeer::Segment(*memory).header->lock.word = word;
  }
  // Smaller, so that it does not lie where the others did.
  absl::StatusOr<SharedMemory> other = SharedMemory::Create(4096);
  ASSERT_THAT(other, IsOk());
  EXPECT_THAT(other->Lock(), IsOk());
  EXPECT_THAT(other->Release(), IsOk());
}

}  // namespace
}  // namespace ko
