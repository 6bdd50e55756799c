#include "ko/os/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

std::optional<int64_t> ResidentBytes(pid_t pid) {
  const UniqueFd file(::open(absl::StrCat("/proc/", pid, "/statm").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  char text[128];
  const ssize_t length = ::read(file.get(), text, sizeof(text));
  if (length <= 0) return std::nullopt;
  const std::vector<std::string_view> fields =
      absl::StrSplit(std::string_view(text, static_cast<size_t>(length)), ' ');
  int64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return std::nullopt;
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace ko::os
