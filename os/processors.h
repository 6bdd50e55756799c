#ifndef KO_OS_PROCESSORS_H_
#define KO_OS_PROCESSORS_H_

#include <cstdint>

namespace ko::os {

// How many processors the calling thread may run on now; at least 1.
uint32_t CountProcessors();

// How many there were when this was first called in this process or in one that it descends from. No system call from the
// second time on.
uint32_t ProcessorCount();

// Moves the calling thread to this processor, if it may run there; nothing happens otherwise, -1 among others. It may still run on
// all that it could run on before, and goes to sleep here, so that the kernel wakes it here, as a rule.
void MoveToProcessor(int processor);

}  // namespace ko::os

#endif  // KO_OS_PROCESSORS_H_
