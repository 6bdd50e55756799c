#include "ko/testing/leaks.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ko/process/report_slots.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::testing {
namespace {

namespace fs = std::filesystem;

using Facts = std::map<std::string, std::string>;

void AddDescriptors(Facts& facts) {
  // Names first, so that the folder's own descriptor is gone when the links are read.
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) paths.push_back(entry.path());
  for (const fs::path& path : paths) {
    std::error_code gone;
    const fs::path target = fs::read_symlink(path, gone);
    if (!gone) facts[absl::StrCat("fd ", path.filename().string())] = target.string();
  }
}

void AddChildren(Facts& facts) {
  for (const pid_t pid : Children()) {
    const std::optional<ProcessState> state = ReadProcessState(pid);
    if (state.has_value())
      facts[absl::StrCat("child ", pid)] = absl::StrCat("started at ", state->start_time_ticks);
  }
}

bool HasBytes(std::string_view line, uint64_t bytes) {
  const std::vector<std::string_view> ends =
      absl::StrSplit(line.substr(0, line.find(' ')), absl::MaxSplits('-', 1));
  uint64_t begin = 0, end = 0;
  return ends.size() == 2 && absl::SimpleHexAtoi(ends[0], &begin) && absl::SimpleHexAtoi(ends[1], &end) &&
         end - begin == bytes;
}

// Private ones come and go with the allocator; a sanitizer's own have no page of "/dev/zero" behind them. The one for the
// reports of children stays from the first Fork on.
void AddSharedMappings(Facts& facts) {
  int count = 0;
  bool may_be_reports = true;
  const std::string maps = ReadFile("/proc/self/maps");
  for (std::string_view line : absl::StrSplit(maps, '\n')) {
    if (!absl::StrContains(line, "/dev/zero (deleted)")) continue;
    if (may_be_reports && HasBytes(line, ReportSlots::kKeptBytes)) {
      may_be_reports = false;
    } else {
      ++count;
    }
  }
  facts["anonymous shared mappings"] = absl::StrCat(count);
}

void AddProcessSettings(Facts& facts) {
  for (const char* name : {"SigBlk", "SigIgn", "SigCgt"}) {
    facts[name] = absl::StrCat(absl::Hex(SignalSet(::getpid(), name), absl::kZeroPad16));
  }
  facts["Umask"] = StatusLine(::getpid(), "Umask");
  std::error_code error;
  facts["working directory"] = fs::current_path(error).string();
}

}  // namespace

ResourceSnapshot ResourceSnapshot::Take() {
  ResourceSnapshot snapshot;
  AddDescriptors(snapshot.facts_);
  AddChildren(snapshot.facts_);
  AddSharedMappings(snapshot.facts_);
  AddProcessSettings(snapshot.facts_);
  return snapshot;
}

std::string ResourceSnapshot::ChangesSince(const ResourceSnapshot& before) const {
  std::string changes;
  for (const auto& [name, value] : facts_) {
    const auto old = before.facts_.find(name);
    if (old == before.facts_.end()) {
      absl::StrAppend(&changes, name, ": ", value, " is new\n");
    } else if (old->second != value) {
      absl::StrAppend(&changes, name, ": ", value, ", was ", old->second, "\n");
    }
  }
  for (const auto& [name, value] : before.facts_) {
    if (!facts_.contains(name)) absl::StrAppend(&changes, name, ": ", value, " is gone\n");
  }
  return changes;
}

void LeakCheckedTest::SetUp() {
  AdoptOrphans();
  before_ = ResourceSnapshot::Take();
}

void LeakCheckedTest::TearDown() {
  const ResourceSnapshot now = ResourceSnapshot::Take();
  EXPECT_EQ(now.ChangesSince(before_), "");
}

}  // namespace ko::testing
