#include "ko/os/unique_fd.h"

#include <unistd.h>

#include "ko/os/child_code.h"

namespace ko::os {

KO_CHILD_CODE void UniqueFd::reset(int fd) {
  // On Linux the descriptor is gone even when close fails with EINTR; a second call could close somebody
  // else's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

}  // namespace ko::os
