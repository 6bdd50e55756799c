#ifndef KO_BENCHMARKS_RAW_FUTEX_H_
#define KO_BENCHMARKS_RAW_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace ko::benchmarks {

// futex(2), with nothing around it.
inline void FutexSleep(std::atomic<uint32_t>& word, uint32_t expected) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, nullptr, nullptr, 0);
}
inline void FutexWakeOne(std::atomic<uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_RAW_FUTEX_H_
