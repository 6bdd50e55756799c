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

TEST(ProcessorsTest, MovesToEachAndMayStillRunOnAll) {
  cpu_set_t all, after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &all)) continue;
    bool moved = false;
    for (int tries = 0; !moved && tries < 100; ++tries) {  // the kernel may move it on
      MoveToProcessor(processor);
      moved = ::sched_getcpu() == processor;
    }
    EXPECT_TRUE(moved) << processor;
    ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&all, &after));
  }
}

TEST(ProcessorsTest, ToOneThatIsNotThereNothingIsMoved) {
  cpu_set_t all, after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  for (const int processor : {-1, -2, CPU_SETSIZE - 1, CPU_SETSIZE, 1 << 30}) MoveToProcessor(processor);
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&all, &after));
}

}  // namespace
}  // namespace ko::os
