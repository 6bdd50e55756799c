#include "ko/os/threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/base/config.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

#ifdef ABSL_HAVE_THREAD_SANITIZER
constexpr int kOwnThreads = 2;
#else
constexpr int kOwnThreads = 1;
#endif

// In the flags that /proc/PID/stat shows (PF_EXITING of the kernel): it runs no more code of the program's.
constexpr unsigned kExiting = 0x4;

bool IsExiting(int task_folder, const char* thread_id) {
  char path[sizeof(dirent::d_name) + sizeof "/stat"];
  std::snprintf(path, sizeof path, "%s/stat", thread_id);
  const UniqueFd fd(::openat(task_folder, path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return true;  // gone since
  char stat[512];
  const ssize_t size = ::read(fd.get(), stat, sizeof stat - 1);
  if (size <= 0) return true;
  stat[size] = '\0';
  const char* fields = std::strrchr(stat, ')');  // the end of the name, which may have anything in it
  unsigned flags = 0;
  return fields != nullptr && std::sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
         (flags & kExiting) != 0;
}

// pthread_join returns before the kernel has taken the thread off its list, so those that are leaving do not
// count.
int CountLivingThreads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/task"), ::closedir);
  if (folder == nullptr) return kOwnThreads + 1;
  int count = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.' && !IsExiting(::dirfd(folder.get()), entry->d_name)) ++count;
  }
  return count;
}

}  // namespace

bool HasOtherThreads() {
  if (__libc_single_threaded) return false;
  struct stat task;
  if (::stat("/proc/self/task", &task) != 0) return true;
  const auto listed = static_cast<int>(task.st_nlink) - 2;  // one link a thread, beside "." and ".."
  return listed > kOwnThreads && CountLivingThreads() > kOwnThreads;
}

}  // namespace ko::os
