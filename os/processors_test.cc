#include "ko/os/processors.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace ko::os {
namespace {

TEST(ProcessorsTest, AThreadThatMayRunOnOneProcessorHasOne) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  EXPECT_EQ(CountProcessors(), static_cast<uint32_t>(CPU_COUNT(&all)));
  EXPECT_EQ(ProcessorCount(), CountProcessors());
  cpu_set_t one;
  CPU_ZERO(&one);
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(CountProcessors(), 1u);
  EXPECT_EQ(ProcessorCount(), static_cast<uint32_t>(CPU_COUNT(&all)));  // as it was first
  EXPECT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
}

}  // namespace
}  // namespace ko::os
