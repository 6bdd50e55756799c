#include "ko/os/processors.h"

#include <sched.h>

namespace ko::os {

bool HasSeveralProcessors() {
  cpu_set_t set;
  // It fails where there are more than fit into the set.
  return ::sched_getaffinity(0, sizeof set, &set) == -1 || CPU_COUNT(&set) > 1;
}

}  // namespace ko::os
