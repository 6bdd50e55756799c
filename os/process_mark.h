#ifndef KO_OS_PROCESS_MARK_H_
#define KO_OS_PROCESS_MARK_H_

#include <cstdint>

namespace ko::os {

// A number of this process, not 0, that no process it descends from has had: what was copied by a fork can be
// told by it. Costs no system call from the second time on, and is right in every child with a memory of its
// own, however it was made: the kernel wipes the page in which the number stands (MADV_WIPEONFORK).
uint64_t ProcessMark();

}  // namespace ko::os

#endif  // KO_OS_PROCESS_MARK_H_
