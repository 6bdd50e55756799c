#ifndef KO_OS_PROCESS_MEMORY_H_
#define KO_OS_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace ko::os {

// How much of a process is in memory now (proc_pid_statm(5)). Empty where there is no such process, or no /proc.
// Threads: any. Fork, signals, crash: none.
std::optional<int64_t> ResidentBytes(pid_t pid);

}  // namespace ko::os

#endif  // KO_OS_PROCESS_MEMORY_H_
