#include "ko/testing/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace ko::testing {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "InstallSeccompFilter: name this processor's AUDIT_ARCH here"
#endif

}  // namespace

sock_filter Load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }

sock_filter UnlessEqualSkip(uint32_t value, size_t skip) {
  if (skip > UINT8_MAX) std::abort();
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, static_cast<uint8_t>(skip));
}

sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

int InstallSeccompFilter(const std::vector<sock_filter>& checks, unsigned flags) {
  std::vector<sock_filter> program;
  program.push_back(Load(offsetof(seccomp_data, arch)));
  program.push_back(UnlessEqualSkip(kArchitecture, 1 + checks.size()));
  program.push_back(Load(offsetof(seccomp_data, nr)));
  program.insert(program.end(), checks.begin(), checks.end());
  program.push_back(Return(SECCOMP_RET_ALLOW));

  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
    const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (result >= 0) return static_cast<int>(result);
  }
  std::perror("InstallSeccompFilter");
  std::abort();
}

}  // namespace ko::testing
