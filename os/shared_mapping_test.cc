#include "ko/os/shared_mapping.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using testing::IsOk;
using testing::StatusIs;

class SharedMappingTest : public testing::LeakCheckedTest {
 protected:
  static SharedMapping Make(size_t bytes = 4096) {
    absl::StatusOr<SharedMapping> mapping = SharedMapping::Create(bytes);
    EXPECT_THAT(mapping, IsOk());
    return *std::move(mapping);
  }
  static int& FirstInt(const SharedMapping& mapping) { return *static_cast<int*>(mapping.data()); }
  static bool IsMapped(const void* page) {
    unsigned char resident;
    return ::mincore(const_cast<void*>(page), 1, &resident) == 0;
  }
  static bool IsResident(const SharedMapping& mapping, size_t offset) {
    unsigned char resident = 0;
    EXPECT_EQ(::mincore(static_cast<char*>(mapping.data()) + offset, 1, &resident), 0);
    return (resident & 1) != 0;
  }
};

TEST_F(SharedMappingTest, IsZeroedAndAsLargeAsAsked) {
  const SharedMapping mapping = Make(3 * 4096 + 1);
  ASSERT_TRUE(mapping.valid());
  EXPECT_EQ(mapping.bytes(), size_t{3 * 4096 + 1});
  const char* const data = static_cast<const char*>(mapping.data());
  for (size_t i = 0; i < mapping.bytes(); ++i) ASSERT_EQ(data[i], 0) << i;
}

TEST_F(SharedMappingTest, ChildWritesWhatParentReads) {
  const SharedMapping mapping = Make();
  EXPECT_TRUE(testing::InChild([&mapping] { FirstInt(mapping) = 42; }).ok());
  EXPECT_EQ(FirstInt(mapping), 42);
}

TEST_F(SharedMappingTest, SizesThatCannotBe) {
  EXPECT_THAT(SharedMapping::Create(0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SharedMapping::Create(std::numeric_limits<size_t>::max() / 2),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SharedMappingTest, NoMemoryIsResourceExhausted) {
  testing::InChild([] {
    testing::FailSyscall(SYS_mmap, ENOMEM,
                         testing::ArgumentMatch{.index = 3, .mask = MAP_SHARED, .value = MAP_SHARED});
    EXPECT_THAT(SharedMapping::Create(4096), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

TEST_F(SharedMappingTest, MovedFromOneOwnsNothing) {
  SharedMapping first = Make();
  FirstInt(first) = 7;
  SharedMapping second(std::move(first));
  EXPECT_FALSE(first.valid());
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(first.bytes(), size_t{0});
  EXPECT_EQ(FirstInt(second), 7);
  SharedMapping third = Make();
  third = std::move(second);
  EXPECT_EQ(FirstInt(third), 7);
  SharedMapping& same = third;
  third = std::move(same);
  EXPECT_EQ(FirstInt(third), 7);
}

TEST_F(SharedMappingTest, UnmapsAtItsEnd) {
  const void* data;
  {
    const SharedMapping mapping = Make();
    data = mapping.data();
    EXPECT_TRUE(IsMapped(data));
  }
  EXPECT_FALSE(IsMapped(data));
}

TEST_F(SharedMappingTest, ASparseOneIsLargerThanTheMachineAndTakesWhatIsWritten) {
  const size_t bytes = size_t{1} << 42;
  absl::StatusOr<SharedMapping> mapping = SharedMapping::CreateSparse(bytes);
  ASSERT_THAT(mapping, IsOk());
  EXPECT_EQ(mapping->bytes(), bytes);
  char* const last = static_cast<char*>(mapping->data()) + bytes - 1;
  EXPECT_TRUE(testing::InChild([last] { *last = 7; }).ok());
  EXPECT_EQ(*last, 7);
  EXPECT_TRUE(IsResident(*mapping, bytes - 4096));
  EXPECT_FALSE(IsResident(*mapping, bytes / 2));
}

TEST_F(SharedMappingTest, SparseSizesThatCannotBe) {
  EXPECT_THAT(SharedMapping::CreateSparse(0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SharedMapping::CreateSparse(std::numeric_limits<size_t>::max() / 2),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SharedMappingTest, DiscardedPagesReadAsZerosInEveryProcess) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const SharedMapping mapping = Make(4 * page);
  char* const data = static_cast<char*>(mapping.data());
  std::memset(data, 'x', mapping.bytes());
  EXPECT_TRUE(testing::InChild([&] { mapping.Discard(page, 2 * page); }).ok());
  EXPECT_FALSE(IsResident(mapping, page));
  EXPECT_EQ(data[page - 1], 'x');
  EXPECT_EQ(data[page], 0);
  EXPECT_EQ(data[3 * page - 1], 0);
  EXPECT_EQ(data[3 * page], 'x');
}

TEST_F(SharedMappingTest, DiscardLeavesPagesThatAreOnlyPartlyInTheRange) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const SharedMapping mapping = Make(3 * page);
  char* const data = static_cast<char*>(mapping.data());
  std::memset(data, 'x', mapping.bytes());
  mapping.Discard(1, page - 1);
  mapping.Discard(page + 1, 2 * page - 2);
  mapping.Discard(page, 0);
  for (size_t i = 0; i < mapping.bytes(); ++i) ASSERT_EQ(data[i], 'x') << i;
}

TEST_F(SharedMappingTest, KeptFromNewChildrenAndTheirCopyUnmapsNothing) {
  SharedMapping mapping = Make();
  mapping.KeepFromNewChildren();
  FirstInt(mapping) = 1;
  testing::InChild([&mapping] {
    EXPECT_FALSE(IsMapped(mapping.data()));
    // Something else may come to lie there; the copy must not take it away.
    void* const other = ::mmap(mapping.data(), mapping.bytes(), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    EXPECT_EQ(other, mapping.data());
    {
      const SharedMapping moved(std::move(mapping));
    }
    EXPECT_TRUE(IsMapped(other));
  });
  EXPECT_EQ(FirstInt(mapping), 1);
}

}  // namespace
}  // namespace ko::os
