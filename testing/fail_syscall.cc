#include "ko/testing/fail_syscall.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace ko::testing {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "FailSyscall: name this processor's AUDIT_ARCH here"
#endif

sock_filter Load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }

// Goes on where the loaded word equals `value`, else jumps over the next `skip` instructions.
sock_filter UnlessEqualSkip(uint32_t value, size_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, static_cast<uint8_t>(skip));
}

sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

}  // namespace

void FailSyscall(long number, int error_number, std::optional<ArgumentMatch> only) {
  const size_t argument_steps = only.has_value() ? 3 : 0;
  std::vector<sock_filter> program;
  program.push_back(Load(offsetof(seccomp_data, arch)));
  program.push_back(UnlessEqualSkip(kArchitecture, 3 + argument_steps));
  program.push_back(Load(offsetof(seccomp_data, nr)));
  program.push_back(UnlessEqualSkip(static_cast<uint32_t>(number), 1 + argument_steps));
  if (only.has_value()) {
    // The processors of above are little-endian: the low half comes first.
    program.push_back(Load(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(only->index)));
    program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, only->mask));
    program.push_back(UnlessEqualSkip(only->value, 1));
  }
  program.push_back(Return(SECCOMP_RET_ERRNO | (static_cast<uint32_t>(error_number) & SECCOMP_RET_DATA)));
  program.push_back(Return(SECCOMP_RET_ALLOW));

  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) {
    std::perror("FailSyscall: prctl");
    std::abort();
  }
}

void FailFork(int error_number) {
  FailSyscall(SYS_clone, error_number, ArgumentMatch{.index = 0, .mask = CLONE_VM, .value = 0});
}

}  // namespace ko::testing
