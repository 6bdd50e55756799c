#include "ko/os/above_stdio.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko::os {

absl::Status MoveAboveStdio(UniqueFd& fd) {
  if (fd.get() > 2) return absl::OkStatus();
  absl::StatusOr<UniqueFd> copy = CopyAboveStdio(fd.get());
  if (!copy.ok()) return copy.status();
  fd = *std::move(copy);
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> CopyAboveStdio(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return ErrnoStatus(errno, "fcntl(F_DUPFD_CLOEXEC)", absl::StrCat("fd ", fd));
  return copy;
}

}  // namespace ko::os
