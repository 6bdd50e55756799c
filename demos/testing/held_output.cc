#include "demos/testing/held_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/log/absl_check.h"

namespace ko::demos {

HeldOutput::HeldOutput() {
  int fds[2];
  ABSL_CHECK_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  read_end_ = os::UniqueFd(fds[0]);
  write_end_ = os::UniqueFd(fds[1]);
  // Byte by byte at the end: a short text would still fit where a large one does not.
  const std::string filler(4096, '.');
  for (size_t piece : {filler.size(), size_t{1}}) {
    while (::write(write_end_.get(), filler.data(), piece) > 0) filler_bytes_ += piece;
    ABSL_CHECK_EQ(errno, EAGAIN);
  }
  // From here on a writer waits, and so does the reader.
  for (const int fd : {read_end_.get(), write_end_.get()}) ABSL_CHECK_EQ(::fcntl(fd, F_SETFL, 0), 0);
}

std::string HeldOutput::Take() {
  write_end_.reset();
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t size = ::read(read_end_.get(), piece, sizeof piece);
    if (size < 0 && errno == EINTR) continue;
    ABSL_CHECK_GE(size, 0);
    if (size == 0) return text.substr(filler_bytes_);
    text.append(piece, static_cast<size_t>(size));
  }
}

}  // namespace ko::demos
