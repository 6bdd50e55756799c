#include "ko/os/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "ko/os/errno_status.h"

namespace ko::os {

absl::StatusOr<UniqueFd> OpenBeneath(int directory_fd, const std::string& path) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, directory_fd, path.c_str(), &how, sizeof(how));
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  if (errno == EXDEV) {
    return absl::FailedPreconditionError("openat2 " + path + ": it leads out of the folder (EXDEV)");
  }
  return ErrnoStatus(errno, "openat2", path);
}

}  // namespace ko::os
