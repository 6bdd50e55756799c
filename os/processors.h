#ifndef KO_OS_PROCESSORS_H_
#define KO_OS_PROCESSORS_H_

#include <cstdint>

namespace ko::os {

// How many processors the calling thread might run on when this was first called in this process or in one that it descends
// from; at least 1. No system call from the second time on.
uint32_t ProcessorCount();

}  // namespace ko::os

#endif  // KO_OS_PROCESSORS_H_
