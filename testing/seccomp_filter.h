#ifndef KO_TESTING_SECCOMP_FILTER_H_
#define KO_TESTING_SECCOMP_FILTER_H_

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ko::testing {

// The instructions that seccomp filters of tests are made of (Linux's Documentation/userspace-api/seccomp_filter.rst).

// Loads a word of seccomp_data.
sock_filter Load(size_t offset);

// Goes on where the loaded word equals `value`, else jumps over the next `skip` instructions.
sock_filter UnlessEqualSkip(uint32_t value, size_t skip);

sock_filter Return(uint32_t action);

// Puts a filter before all system calls of this thread and of all that it will fork, for good: the `checks`, which find
// the number of the call loaded and hold for this processor's own calls; what they let through is allowed. Returns what
// seccomp(2) does with these flags, a descriptor for SECCOMP_FILTER_FLAG_NEW_LISTENER. Errors: a kernel that refuses the
// filter ends the process.
int InstallSeccompFilter(const std::vector<sock_filter>& checks, unsigned flags = 0);

}  // namespace ko::testing

#endif  // KO_TESTING_SECCOMP_FILTER_H_
