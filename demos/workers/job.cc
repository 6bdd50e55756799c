#include "demos/workers/job.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "ko/ko.h"

namespace ko::demos {
namespace {

// Reads `fd` to its end, in pieces. `consume` may refuse to go on.
template <class Consume>
absl::Status ReadAll(int fd, const std::string& name, Consume consume) {
  std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("read(", name, ")"));
    if (size == 0) return absl::OkStatus();
    if (absl::Status ok = consume(std::string_view(buffer.data(), static_cast<size_t>(size))); !ok.ok())
      return ok;
  }
}

}  // namespace

absl::StatusOr<std::string> CountFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open(", path, ")"));
  const absl::Cleanup close = [fd] { ::close(fd); };
  int64_t lines = 0;
  int64_t bytes = 0;
  const absl::Status read = ReadAll(fd, path, [&](std::string_view piece) {
    lines += std::count(piece.begin(), piece.end(), '\n');
    bytes += static_cast<int64_t>(piece.size());
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  return absl::StrCat(lines, " ", bytes, " ", absl::StrReplaceAll(path, {{"\\", "\\\\"}, {"\n", "\\n"}}),
                      "\n");
}

absl::StatusOr<std::string> RunCommandOnFile(const std::vector<std::string>& command, const std::string& path,
                                             size_t max_bytes) {
  // A process group of its own: the terminal's Ctrl-C is the master's to pass on.
  ko::Command exec{.argv = command,
                   .stdin_from = ko::Stdio::Null(),
                   .stdout_to = ko::Stdio::Pipe(),
                   .new_process_group = true,
                   .die_with_parent = true};
  exec.argv.push_back(path);
  absl::StatusOr<ko::Child> child = ko::Exec(exec);
  if (!child.ok()) return child.status();
  std::string output;
  const absl::Status read = ReadAll(child->stdout_fd(), "output", [&](std::string_view piece) {
    if (output.size() + piece.size() > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("its output is larger than ", max_bytes, " bytes"));
    }
    output.append(piece);
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  absl::StatusOr<ko::ExitStatus> status = child->Wait();
  if (!status.ok()) return status.status();
  if (!status->ok()) return status->ToStatus();
  return output;
}

}  // namespace ko::demos
