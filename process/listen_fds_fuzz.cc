#include "ko/process/listen_fds.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ko/os/errno_status.h"

namespace {

void Look(const std::vector<std::string>& lines) {
  ::setenv("LISTEN_FDS", lines[0].c_str(), 1);
  if (lines.size() > 1) ::setenv("LISTEN_FDNAMES", lines[1].c_str(), 1);
  ::setenv("LISTEN_PID", lines.size() > 2 ? lines[2].c_str() : absl::StrCat(::getpid()).c_str(), 1);
  const absl::StatusOr<std::vector<ko::ReceivedFd>> received = ko::ListenFds();
  for (const char* variable : {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"}) {
    if (std::getenv(variable) != nullptr) std::abort();
  }
  if (!received.ok()) return;
  for (const ko::ReceivedFd& each : *received) {
    if (!each.fd.valid()) std::abort();
  }
}

}  // namespace

// The variables LISTEN_FDS and LISTEN_FDNAMES of any text, one line each: sockets or an error, and all variables are taken
// away. They are meant for this process, or for the one that a third line names.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> lines = absl::StrSplit(text, absl::MaxSplits('\n', 2));
  // In a process of its own: descriptors that are passed on are closed, and a fuzzer has some from 3 on.
  const pid_t child = ::fork();
  if (child == 0) {
    Look(lines);
    ::_exit(0);
  }
  if (child < 0) std::abort();
  int status = 0;
  // Again where the fuzzer's timer interrupts.
  if (ko::os::RetryEintr([&] { return ::waitpid(child, &status, 0); }) != child || status != 0) std::abort();
  return 0;
}
