#include "ko/testing/mount_over.h"

#include <sched.h>
#include <sys/mount.h>

namespace ko::testing {

bool MountOver(const char* folder, const char* options, unsigned long flags) {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", folder, "tmpfs", flags, options) == 0;
}

}  // namespace ko::testing
