#include "ko/process/output_drain.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko {
namespace {

constexpr size_t kRoundBytes = 256 << 10;

}  // namespace

absl::StatusOr<OutputDrain> OutputDrain::Create(os::UniqueFd fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return os::ErrnoStatus(errno, "fcntl(O_NONBLOCK)", absl::StrCat("fd ", fd.get()));
  }
  return OutputDrain(std::move(fd));
}

absl::StatusOr<OutputDrain::State> OutputDrain::Drain(OutputTail& tail) {
  if (!fd_.valid()) return absl::FailedPreconditionError("OutputDrain: it was moved from");
  char buffer[16 << 10];
  for (size_t round = 0; round < kRoundBytes;) {
    const ssize_t size = os::RetryEintr([&] { return ::read(fd_.get(), buffer, sizeof buffer); });
    if (size < 0 && errno == EAGAIN) return State::kEmptied;
    if (size < 0) return os::ErrnoStatus(errno, "read", "a command's output");
    if (size == 0) return State::kEnded;
    tail.Append(std::string_view(buffer, static_cast<size_t>(size)));
    round += static_cast<size_t>(size);
  }
  return State::kMore;
}

}  // namespace ko
