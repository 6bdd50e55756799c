#include "ko/testing/in_child.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"
#include "ko/os/pidfd.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/read_all.h"

namespace ko::testing {
namespace {

// A file in memory: unlike a pipe it has no end that a grandchild could keep open, and is never full.
os::UniqueFd MemoryFile(const char* name) {
  os::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd.valid()) {
    std::perror("InChild: memfd_create");
    std::abort();
  }
  return fd;
}

std::string Contents(const os::UniqueFd& fd) {
  ::lseek(fd.get(), 0, SEEK_SET);
  return ReadAll(fd.get());
}

void Flush() {
  std::fflush(nullptr);
  std::cout.flush();
}

void WriteAll(const os::UniqueFd& fd, std::string_view text) {
  os::RetryEintr([&] { return ::write(fd.get(), text.data(), text.size()); });
}

struct Capture {
  os::UniqueFd value = MemoryFile("value"), failures = MemoryFile("failures");
  os::UniqueFd out = MemoryFile("out"), err = MemoryFile("err");
};

// Writes the failures of the child, and of what it forks, to where the test can read them, however the child
// ends.
class FailureWriter : public ::testing::ScopedFakeTestPartResultReporter {
 public:
  FailureWriter(InterceptMode threads, const os::UniqueFd& fd)
      : ScopedFakeTestPartResultReporter(threads, nullptr), fd_(fd) {}

 private:
  void ReportTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.passed()) return;
    const char* const file = result.file_name();
    WriteAll(fd_, absl::StrCat(file == nullptr ? "" : file, ":", result.line_number(), "\n", result.message(),
                               "\n"));
  }

  const os::UniqueFd& fd_;
};

[[noreturn]] void Live(absl::FunctionRef<std::string()> run, const Capture& capture, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::dup2(capture.out.get(), STDOUT_FILENO);
  ::dup2(capture.err.get(), STDERR_FILENO);
  const FailureWriter of_other_threads(FailureWriter::INTERCEPT_ALL_THREADS, capture.failures);
  const FailureWriter of_this_one(FailureWriter::INTERCEPT_ONLY_CURRENT_THREAD, capture.failures);
  WriteAll(capture.value, run());
  Flush();
  ::_exit(0);
}

}  // namespace

InChildResult RunInChild(absl::FunctionRef<std::string()> run, absl::Duration limit) {
  const Capture capture;
  Flush();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) Live(run, capture, parent);
  const os::UniqueFd pidfd = os::OpenPidfd(pid);
  if (pid < 0 || !pidfd.valid()) {
    std::perror("InChild: fork");
    std::abort();
  }
  const bool ended = os::AwaitEnd(pidfd.get(), os::Deadline::After(limit)).value_or(false);
  if (!ended) {
    os::SendSignal(pidfd.get(), SIGKILL);
    ADD_FAILURE() << "InChild: still running after " << absl::FormatDuration(limit);
  }
  int status;
  os::RetryEintr([&] { return ::waitpid(pid, &status, 0); });

  InChildResult result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) {
    result.term_signal = WTERMSIG(status);
    result.core_dumped = WCOREDUMP(status);
  }
  result.out = Contents(capture.out);
  result.err = Contents(capture.err);
  result.value = Contents(capture.value);
  if (const std::string failures = Contents(capture.failures); !failures.empty()) {
    ADD_FAILURE() << "in the child:\n" << failures;
  }
  return result;
}

}  // namespace ko::testing
