#ifndef KO_TESTING_FAIL_SYSCALL_H_
#define KO_TESTING_FAIL_SYSCALL_H_

#include <cstdint>
#include <optional>

namespace ko::testing {

// Which calls of a system call are meant: those where (argument & mask) == value, by the low 32 bits.
struct ArgumentMatch {
  int index;  // 0 to 5
  uint32_t mask;
  uint32_t value;
};

// Makes the kernel answer a system call (SYS_pidfd_open, say) with an errno instead of doing it, in this
// thread and in all that it will fork: a seccomp filter, so the code under test needs no seam. For good,
// hence only in a child of the test (see in_child.h). Errors: a kernel that refuses the filter ends the
// process.
void FailSyscall(long number, int error_number, std::optional<ArgumentMatch> only = std::nullopt);

// The making of processes with memory of their own: clone(2) without CLONE_VM; there is no clone3(2) then. Threads and vfork
// still work.
void FailFork(int error_number);

}  // namespace ko::testing

#endif  // KO_TESTING_FAIL_SYSCALL_H_
