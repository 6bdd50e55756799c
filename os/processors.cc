#include "ko/os/processors.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace ko::os {

uint32_t CountProcessors() {
  cpu_set_t set;
  // It fails on machines with more processors than the set has room for.
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
  return std::max(1u, std::thread::hardware_concurrency());
}

uint32_t ProcessorCount() {
  static const uint32_t count = CountProcessors();
  return count;
}

void MoveToProcessor(int processor) {
  cpu_set_t all;
  if (processor < 0 || processor >= CPU_SETSIZE || processor == ::sched_getcpu()) return;
  if (::sched_getaffinity(0, sizeof all, &all) != 0 || !CPU_ISSET(processor, &all)) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  if (::sched_setaffinity(0, sizeof one, &one) == 0) ::sched_setaffinity(0, sizeof all, &all);
}

}  // namespace ko::os
