#include "ko/os/orphans.h"

#include <dirent.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "ko/os/process_stat.h"

namespace ko::os {
namespace {

struct FileCloser {
  void operator()(FILE* file) const { ::fclose(file); }
};
using File = std::unique_ptr<FILE, FileCloser>;

// The processes that this one has pidfds of.
absl::flat_hash_set<pid_t> PidsOfOwnPidfds() {
  absl::flat_hash_set<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fdinfo"), ::closedir);
  if (folder == nullptr) return pids;
  while (const dirent* entry = ::readdir(folder.get())) {
    char path[sizeof "/proc/self/fdinfo/" + sizeof entry->d_name];
    std::snprintf(path, sizeof path, "/proc/self/fdinfo/%s", entry->d_name);
    const File file(::fopen(path, "re"));
    if (file == nullptr) continue;
    char line[256];
    int pid;
    while (std::fgets(line, sizeof line, file.get()) != nullptr) {
      if (std::sscanf(line, "Pid: %d", &pid) == 1 && pid > 0) pids.insert(pid);
    }
  }
  return pids;
}

std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  const File file(::fopen("/proc/thread-self/children", "re"));
  int pid;
  while (file != nullptr && std::fscanf(file.get(), "%d", &pid) == 1) children.push_back(pid);
  return children;
}

// The first child that the kernel finds ended, which it leaves as it is; 0 where there is none.
pid_t PeekEnded() {
  siginfo_t info = {};
  const int result = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);
  return result == 0 ? info.si_pid : 0;
}

bool ReapIfEnded(pid_t pid) {
  siginfo_t info = {};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | __WALL) == 0 &&
         info.si_pid == pid;
}

}  // namespace

int ReapOrphans(pid_t kept) {
  pid_t ended = PeekEnded();
  if (ended == 0) return 0;
  absl::flat_hash_set<pid_t> owned = {kept};
  const bool proc_is_ours = ProcIsOurs();
  if (proc_is_ours) owned.merge(PidsOfOwnPidfds());
  int count = 0;
  for (; ended != 0 && !owned.contains(ended); ended = PeekEnded()) count += ReapIfEnded(ended) ? 1 : 0;
  if (ended == 0 || !proc_is_ours) return count;
  // The kernel goes on showing one that is somebody's; there may be others behind it.
  for (const pid_t child : Children()) {
    if (!owned.contains(child)) count += ReapIfEnded(child) ? 1 : 0;
  }
  return count;
}

}  // namespace ko::os
