#include "ko/os/fd_limit.h"

namespace ko::os {
namespace {

// Left for the program's own files.
constexpr rlim_t kHeadroom = 64;

}  // namespace

FdLimit::FdLimit() { ::getrlimit(RLIMIT_NOFILE, &original_); }

void FdLimit::MakeRoomBeyond(int fd) {
  if (!raised_ && static_cast<rlim_t>(fd) + kHeadroom >= original_.rlim_cur) Raise();
}

bool FdLimit::Raise() {
  if (raised_ || original_.rlim_cur == original_.rlim_max) return false;
  const rlimit raised = {original_.rlim_max, original_.rlim_max};
  raised_ = ::setrlimit(RLIMIT_NOFILE, &raised) == 0;
  return raised_;
}

void FdLimit::Restore() {
  if (raised_) ::setrlimit(RLIMIT_NOFILE, &original_);
  raised_ = false;
}

}  // namespace ko::os
