#include "ko/testing/process_state.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/pidfd.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/read_all.h"

namespace ko::testing {
namespace {

// Leaves the processor to whoever is waited for.
void Yield() {
  const timespec moment = {0, 100'000};
  ::nanosleep(&moment, nullptr);
}

}  // namespace

std::optional<ProcessState> ReadProcessState(pid_t pid) { return os::ReadProcessStat(pid); }

bool AwaitProcess(pid_t pid, absl::FunctionRef<bool(const ProcessState&)> condition) {
  for (;; Yield()) {
    const std::optional<ProcessState> state = ReadProcessState(pid);
    if (!state.has_value()) return false;
    if (condition(*state)) return true;
  }
}

bool AwaitState(pid_t pid, char letter) {
  return AwaitProcess(pid, [letter](const ProcessState& state) { return state.letter == letter; });
}

void AwaitEnded(pid_t pid) {
  const os::UniqueFd pidfd = os::OpenPidfd(pid);
  if (pidfd.valid()) os::AwaitEnd(pidfd.get(), os::Deadline::After(absl::InfiniteDuration())).IgnoreError();
}

std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const std::string list = ReadFile(task.path() / "children");
    for (std::string_view word : absl::StrSplit(list, ' ', absl::SkipWhitespace())) {
      pid_t pid;
      if (absl::SimpleAtoi(word, &pid)) children.push_back(pid);
    }
  }
  return children;
}

void AdoptOrphans() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    std::perror("AdoptOrphans: prctl");
    std::abort();
  }
}

int CountDescriptors() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

std::string StatusLine(pid_t pid, const std::string& name) {
  const std::string status = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  for (std::string_view line : absl::StrSplit(status, '\n')) {
    if (absl::ConsumePrefix(&line, absl::StrCat(name, ":\t"))) return std::string(line);
  }
  return "";
}

uint64_t SignalSet(pid_t pid, const std::string& name) {
  uint64_t signals = 0;
  return absl::SimpleHexAtoi(StatusLine(pid, name), &signals) ? signals & ~(uint64_t{3} << 31) : 0;
}

}  // namespace ko::testing
