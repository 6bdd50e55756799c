#include "ko/os/argument_area.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

absl::StatusOr<std::string> ReadFile(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = RetryEintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
    if (size < 0) return ErrnoStatus(errno, "read", path);
    if (size == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(size));
  }
}

// The kernel's map of this process's memory, from /proc/self/stat (proc(5)), whose fields count from 1.
absl::StatusOr<prctl_mm_map> ReadMemoryMap() {
  const absl::StatusOr<std::string> stat = ReadFile("/proc/self/stat");
  if (!stat.ok()) return stat.status();
  // The second field, the name in parentheses, may contain anything; the third follows its last parenthesis.
  const std::vector<std::string_view> fields =
      absl::StrSplit(std::string_view(*stat).substr(stat->rfind(')') + 1), ' ', absl::SkipWhitespace());
  constexpr size_t kFirstField = 3;
  const auto field = [&](size_t number) {
    uint64_t value = 0;
    const bool parsed =
        number - kFirstField < fields.size() && absl::SimpleAtoi(fields[number - kFirstField], &value);
    return parsed ? value : 0;
  };
  prctl_mm_map map = {};
  map.start_code = field(26);
  map.end_code = field(27);
  map.start_stack = field(28);
  map.start_data = field(45);
  map.end_data = field(46);
  map.start_brk = field(47);
  map.brk = reinterpret_cast<uintptr_t>(::sbrk(0));
  map.arg_start = field(48);
  map.arg_end = field(49);
  map.env_start = field(50);
  map.env_end = field(51);
  map.exe_fd = ~0u;  // as it is
  return map;
}

bool SetMemoryMap(const prctl_mm_map& map) {
  return ::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == 0;
}

}  // namespace

absl::Status MoveArgumentArea(char* start, char* end) {
  absl::StatusOr<prctl_mm_map> map = ReadMemoryMap();
  if (!map.ok()) return map.status();
  map->arg_start = reinterpret_cast<uintptr_t>(start);
  map->arg_end = reinterpret_cast<uintptr_t>(end);
  if (SetMemoryMap(*map)) return absl::OkStatus();
  return absl::UnimplementedError(ErrnoStatus(errno, "prctl", "PR_SET_MM_MAP").message());
}

bool ArgumentAreaCanMove() {
  const absl::StatusOr<prctl_mm_map> map = ReadMemoryMap();
  return map.ok() && SetMemoryMap(*map);
}

std::string ReadCommandLine() { return ReadFile("/proc/self/cmdline").value_or(""); }

std::string ReadProcessName() {
  std::string name = ReadFile("/proc/self/comm").value_or("");
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

void SetProcessName(const std::string& name) {
  if (::gettid() == ::getpid()) {
    ::prctl(PR_SET_NAME, name.c_str(), 0, 0, 0);
    return;
  }
  const UniqueFd fd(::open("/proc/self/comm", O_WRONLY | O_CLOEXEC));
  if (fd.valid()) RetryEintr([&] { return ::write(fd.get(), name.data(), name.size()); });
}

}  // namespace ko::os
