#include "ko/os/oom_kills.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ko::os {
namespace {

// Where the usual mounts have it. /proc/self/cgroup has a line "NUMBER:CONTROLLERS:PATH" for each hierarchy;
// version 2's has no controllers.
std::vector<std::string> Candidates() {
  std::vector<std::string> paths;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<std::string_view> controllers = absl::StrSplit(fields[1], ',');
    if (fields[1].empty()) {
      paths.push_back(absl::StrCat("/sys/fs/cgroup", fields[2], "/memory.events"));
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      paths.push_back(absl::StrCat("/sys/fs/cgroup/memory", fields[2], "/memory.oom_control"));
    }
  }
  return paths;
}

}  // namespace

OomKills OomKills::Open() {
  OomKills kills;
  for (const std::string& path : Candidates()) {
    kills.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (kills.Count().has_value()) return kills;
  }
  kills.fd_.reset();
  return kills;
}

std::optional<uint64_t> OomKills::Count() const {
  if (!fd_.valid()) return std::nullopt;
  char text[512];
  const ssize_t size = ::pread(fd_.get(), text, sizeof text, 0);
  return size > 0 ? ParseOomKills({text, static_cast<size_t>(size)}) : std::nullopt;
}

std::optional<uint64_t> ParseOomKills(std::string_view text) {
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<std::string_view, std::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t count;
    if (fields.first == "oom_kill" && absl::SimpleAtoi(fields.second, &count)) return count;
  }
  return std::nullopt;
}

}  // namespace ko::os
