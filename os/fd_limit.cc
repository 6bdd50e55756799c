#include "ko/os/fd_limit.h"

#include "ko/os/child_code.h"

namespace ko::os {
namespace {

// Left for the program's own files.
constexpr rlim_t kHeadroom = 64;

}  // namespace

void FdLimit::MakeRoomBeyond(int fd) {
  if (fd <= highest_) return;
  highest_ = fd;
  rlimit now;
  if (::getrlimit(RLIMIT_NOFILE, &now) == 0 && static_cast<rlim_t>(fd) + kHeadroom >= now.rlim_cur) Raise();
}

bool FdLimit::Raise() {
  rlimit now;
  if (::getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur == now.rlim_max) return false;
  const rlimit raised = {now.rlim_max, now.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &raised) != 0) return false;
  if (!raised_) original_ = now;
  raised_ = true;
  return true;
}

KO_CHILD_CODE void FdLimit::Restore() {
  if (!raised_) return;
  ::setrlimit(RLIMIT_NOFILE, &original_);
  raised_ = false;
  highest_ = -1;
}

}  // namespace ko::os
