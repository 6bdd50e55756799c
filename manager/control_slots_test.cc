#include "ko/manager/control_slots.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::ArgumentMatch;
using testing::FailSyscall;
using testing::InChild;
using testing::IsOk;
using testing::StatusIs;

class ControlSlotsTest : public testing::LeakCheckedTest {
 protected:
  ControlSlotRef Allocate() {
    absl::StatusOr<ControlSlotRef> slot = slots_->Allocate();
    EXPECT_THAT(slot, IsOk());
    return *std::move(slot);
  }
  static uint32_t Ready(const ControlSlotRef& slot) { return slot->ready.load(std::memory_order_relaxed); }
  void TearDown() override {
    slots_.reset();
    LeakCheckedTest::TearDown();
  }

  std::optional<ControlSlots> slots_ = ControlSlots();
};

TEST_F(ControlSlotsTest, NewSlotIsZeroed) { EXPECT_EQ(Ready(Allocate()), 0u); }

TEST_F(ControlSlotsTest, ReusedSlotIsZeroedAgain) {
  ControlSlotRef slot = Allocate();
  ControlSlot* const address = slot.get();
  slot->ready.store(7, std::memory_order_relaxed);
  slot->tasks.store(7, std::memory_order_relaxed);
  slots_->Free(std::move(slot));
  slot = Allocate();
  EXPECT_EQ(slot.get(), address) << "the newest one freed is the first one reused";
  EXPECT_EQ(Ready(slot), 0u);
  EXPECT_EQ(slot->tasks.load(std::memory_order_relaxed), 0);
}

TEST_F(ControlSlotsTest, SlotsAreDistinctAndOfACacheLineEach) {
  std::vector<ControlSlotRef> held;
  std::set<uintptr_t> lines;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(Allocate());
    const auto address = reinterpret_cast<uintptr_t>(held.back().get());
    EXPECT_EQ(address % 64, 0u);
    EXPECT_TRUE(lines.insert(address / 64).second);
  }
}

TEST_F(ControlSlotsTest, ThousandSlotsTakeThirtyTwoPages) {
  std::vector<ControlSlotRef> held;
  std::set<uintptr_t> pages;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(Allocate());
    pages.insert(reinterpret_cast<uintptr_t>(held.back().get()) / 4096);
  }
  EXPECT_EQ(pages.size(), 32u);
}

TEST_F(ControlSlotsTest, ChildsStoreIsSeenByTheParent) {
  const ControlSlotRef slot = Allocate();
  InChild([&] { slot->ready.store(3, std::memory_order_release); });
  EXPECT_EQ(slot->ready.load(std::memory_order_acquire), 3u);
}

TEST_F(ControlSlotsTest, SlotOutlivesTheAllocator) {
  ControlSlotRef slot = Allocate();
  slots_.reset();
  slot->ready.store(1, std::memory_order_relaxed);
  EXPECT_EQ(Ready(slot), 1u);
}

TEST_F(ControlSlotsTest, FreeingAnEmptyReferenceAddsNothing) {
  slots_->Free(ControlSlotRef());
  EXPECT_NE(Allocate().get(), nullptr);
}

TEST_F(ControlSlotsTest, NoMemoryIsResourceExhausted) {
  InChild([this] {
    FailSyscall(SYS_mmap, ENOMEM, ArgumentMatch{.index = 3, .mask = MAP_SHARED, .value = MAP_SHARED});
    EXPECT_THAT(slots_->Allocate(), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

}  // namespace
}  // namespace ko
