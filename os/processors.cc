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

}  // namespace ko::os
