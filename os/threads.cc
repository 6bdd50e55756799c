#include "ko/os/threads.h"

#include <sys/single_threaded.h>
#include <sys/stat.h>

namespace ko::os {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr unsigned kOwnThreads = 2;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr unsigned kOwnThreads = 2;
#else
constexpr unsigned kOwnThreads = 1;
#endif
#else
constexpr unsigned kOwnThreads = 1;
#endif

}  // namespace

bool HasOtherThreads() {
  if (__libc_single_threaded) return false;
  struct stat task;
  if (::stat("/proc/self/task", &task) != 0) return true;
  return task.st_nlink - 2 > kOwnThreads;  // one link a thread, beside "." and ".."
}

}  // namespace ko::os
