#include "ko/benchmarks/reporting/run_program.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"
#include "ko/process/exec.h"

namespace ko::benchmarks {
namespace {

// Files in memory: neither side waits for the other.
absl::StatusOr<os::UniqueFd> MakeFile(const char* name, std::string_view content) {
  os::UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file.valid()) return os::ErrnoStatus(errno, "memfd_create");
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written <= 0) return os::ErrnoStatus(errno, "write", name);
    content.remove_prefix(written);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string ReadFile(const os::UniqueFd& file) {
  std::string content(::lseek(file.get(), 0, SEEK_END), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = ::pread(file.get(), content.data() + done, content.size() - done, done);
    if (got <= 0) break;
    done += got;
  }
  content.resize(done);
  return content;
}

}  // namespace

absl::StatusOr<std::string> RunProgram(std::vector<std::string> argv, std::string_view input,
                                       std::vector<int> cpus) {
  const std::string name = argv.empty() ? "" : argv[0];
  absl::StatusOr<os::UniqueFd> in = MakeFile("input", input);
  if (!in.ok()) return in.status();
  absl::StatusOr<os::UniqueFd> out = MakeFile("output", "");
  if (!out.ok()) return out.status();
  absl::StatusOr<os::UniqueFd> err = MakeFile("errors", "");
  if (!err.ok()) return err.status();
  absl::StatusOr<Child> child = Exec({.argv = std::move(argv),
                                      .stdin_from = Stdio::Fd(in->get()),
                                      .stdout_to = Stdio::Fd(out->get()),
                                      .stderr_to = Stdio::Fd(err->get()),
                                      .die_with_parent = true,
                                      .cpus = std::move(cpus)});
  if (!child.ok()) return child.status();
  const absl::StatusOr<ExitStatus> status = child->Wait();
  if (!status.ok()) return status.status();
  if (!status->ok()) {
    return absl::InternalError(absl::StrCat(name, " ", status->ToString(), ": ", ReadFile(*err)));
  }
  return ReadFile(*out);
}

}  // namespace ko::benchmarks
