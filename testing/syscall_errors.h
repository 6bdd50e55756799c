#ifndef KO_TESTING_SYSCALL_ERRORS_H_
#define KO_TESTING_SYSCALL_ERRORS_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ko::testing {

// The system calls of this library that can fail, and with what: each errno that its manual page lists and that can
// meet a caller who has made no mistake. Left out are therefore EBADF, EFAULT, EINVAL, ENAMETOOLONG and the like, which
// say that an argument is wrong, and those calls that can fail by such a mistake alone: getpid, rt_sigprocmask,
// rt_sigaction, munmap of a whole mapping, fcntl's F_GETFD... close is left out as well: on Linux the descriptor is
// gone whatever it returns.

// Their numbers, each once.
std::vector<int> FallibleSyscalls();

// The name of one of them, as in section 2 of the manual.
std::string_view SyscallName(int number);

// Which errno can meet this call, by its number and the low halves of its arguments; empty where none can.
std::span<const int> SyscallErrors(int number, const uint64_t (&arguments)[6]);

}  // namespace ko::testing

#endif  // KO_TESTING_SYSCALL_ERRORS_H_
