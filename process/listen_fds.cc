#include "ko/process/listen_fds.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ko {
namespace {

constexpr int kFirst = 3;

absl::StatusOr<int> NumberIn(const char* variable, std::string_view text) {
  int number;
  if (absl::SimpleAtoi(text, &number) && number >= 0 && number <= std::numeric_limits<int>::max() - kFirst) {
    return number;
  }
  return absl::InvalidArgumentError(absl::StrCat("ListenFds: ", variable, " is \"", text, "\""));
}

absl::StatusOr<std::vector<std::string>> NamesFor(size_t count, const char* list) {
  if (list == nullptr) return std::vector<std::string>(count, "unknown");
  std::vector<std::string> names = absl::StrSplit(list, ':');
  if (names.size() == count) return names;
  return absl::InvalidArgumentError(
      absl::StrCat("ListenFds: LISTEN_FDNAMES has ", names.size(), " names for ", count, " descriptors"));
}

absl::StatusOr<std::vector<ReceivedFd>> Take() {
  const char* const pid_text = std::getenv("LISTEN_PID");
  const char* const count_text = std::getenv("LISTEN_FDS");
  if (pid_text == nullptr || count_text == nullptr) return std::vector<ReceivedFd>();
  absl::StatusOr<int> pid = NumberIn("LISTEN_PID", pid_text);
  if (!pid.ok()) return pid.status();
  if (*pid != ::getpid()) return std::vector<ReceivedFd>();
  absl::StatusOr<int> count = NumberIn("LISTEN_FDS", count_text);
  if (!count.ok()) return count.status();
  // All are looked at before room is made for them: the number may be any.
  for (int fd = kFirst; fd < kFirst + *count; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("ListenFds: LISTEN_FDS is ", *count, ", but fd ", fd, " is not open"));
    }
  }
  if (*count == 0) return std::vector<ReceivedFd>();
  absl::StatusOr<std::vector<std::string>> names =
      NamesFor(static_cast<size_t>(*count), std::getenv("LISTEN_FDNAMES"));
  if (!names.ok()) return names.status();

  std::vector<ReceivedFd> received;
  for (int i = 0; i < *count; ++i) {
    const int fd = kFirst + i;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    received.push_back({os::UniqueFd(fd), std::move((*names)[static_cast<size_t>(i)])});
  }
  return received;
}

}  // namespace

absl::StatusOr<std::vector<ReceivedFd>> ListenFds(ListenEnvironment environment) {
  absl::StatusOr<std::vector<ReceivedFd>> received = Take();
  if (environment == ListenEnvironment::kRemove) {
    for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(variable);
  }
  return received;
}

}  // namespace ko
