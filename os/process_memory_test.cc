#include "ko/os/process_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace ko::os {
namespace {

TEST(ProcessMemoryTest, GrowsByWhatIsTouched) {
  constexpr size_t kBytes = 64 << 20;
  const int64_t before = ResidentBytes(::getpid()).value();
  void* const memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, kBytes);
  EXPECT_GT(ResidentBytes(::getpid()).value(), before + (32 << 20));
  ::munmap(memory, kBytes);
}

TEST(ProcessMemoryTest, NoProcessIsEmpty) { EXPECT_EQ(ResidentBytes(-1), std::nullopt); }

}  // namespace
}  // namespace ko::os
