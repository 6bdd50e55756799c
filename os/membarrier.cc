#include "ko/os/membarrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "ko/os/errno_status.h"

namespace ko::os {

bool AcceptBarriers() {
  return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

absl::Status BarrierForAll() {
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "membarrier");
}

}  // namespace ko::os
