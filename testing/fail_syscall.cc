#include "ko/testing/fail_syscall.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "ko/testing/seccomp_filter.h"

namespace ko::testing {

void FailSyscall(long number, int error_number, std::optional<ArgumentMatch> only) {
  const size_t argument_steps = only.has_value() ? 3 : 0;
  std::vector<sock_filter> checks;
  checks.push_back(UnlessEqualSkip(static_cast<uint32_t>(number), 1 + argument_steps));
  if (only.has_value()) {
    // The processors that the filter knows are little-endian: the low half comes first.
    checks.push_back(Load(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(only->index)));
    checks.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, only->mask));
    checks.push_back(UnlessEqualSkip(only->value, 1));
  }
  checks.push_back(Return(SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error_number) & SECCOMP_RET_DATA)));
  InstallSeccompFilter(checks);
}

void FailFork(int error_number) {
  // A filter cannot see what clone3 is asked for, but everybody goes back to clone where it is not there.
  FailSyscall(SYS_clone3, ENOSYS);
  FailSyscall(SYS_clone, error_number, ArgumentMatch{.index = 0, .mask = CLONE_VM, .value = 0});
}

}  // namespace ko::testing
