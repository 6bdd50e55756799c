#include "ko/os/process_stat.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

constexpr unsigned kExiting = 0x4;  // PF_EXITING of linux/sched.h

std::optional<ProcessStat> ReadStatFile(const char* path) {
  const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  char text[1024];  // the longest has some 400 bytes
  const ssize_t size = RetryEintr([&] { return ::read(file.get(), text, sizeof text); });
  if (size <= 0) errno = ESRCH;
  return size > 0 ? ParseProcessStat({text, static_cast<size_t>(size)}) : std::nullopt;
}

}  // namespace

std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  return ReadStatFile(path);
}

std::vector<char> ReadThreadLetters(pid_t pid) {
  std::vector<char> letters;
  char folder_path[32];
  std::snprintf(folder_path, sizeof folder_path, "/proc/%d/task", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(folder_path), ::closedir);
  while (const dirent* entry = folder != nullptr ? ::readdir(folder.get()) : nullptr) {
    const int thread = std::atoi(entry->d_name);  // 0 for "." and ".."
    if (thread <= 0) continue;
    char path[64];
    std::snprintf(path, sizeof path, "%s/%d/stat", folder_path, thread);
    if (const std::optional<ProcessStat> stat = ReadStatFile(path)) letters.push_back(stat->letter);
  }
  return letters;
}

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t name_end = text.rfind(')');  // the name may have parentheses and spaces in it
  if (name_end == std::string_view::npos) return std::nullopt;
  const std::string head(text.substr(0, name_end)), tail(text.substr(name_end + 1));
  ProcessStat stat = {};
  if (std::sscanf(head.c_str(), "%d (", &stat.pid) != 1) return std::nullopt;
  unsigned flags = 0;
  const int fields = std::sscanf(
      tail.c_str(), " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %" SCNu64,
      &stat.letter, &stat.parent, &stat.process_group, &stat.session, &flags, &stat.threads,
      &stat.start_time_ticks);
  if (fields != 7) return std::nullopt;
  stat.exiting = (flags & kExiting) != 0;
  return stat;
}

bool ProcIsOurs() {
  char target[32];
  const ssize_t size = ::readlink("/proc/self", target, sizeof target - 1);
  if (size <= 0) return false;
  target[size] = '\0';
  return std::atoi(target) == ::getpid();
}

}  // namespace ko::os
