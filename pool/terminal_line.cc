#include "ko/pool/terminal_line.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "ko/os/deadline.h"

namespace ko {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kNextLine = absl::Seconds(5);

}  // namespace

TerminalLine::TerminalLine()
    : is_terminal_(::isatty(STDERR_FILENO) != 0),
      next_(os::MonotonicNow() + (is_terminal_ ? absl::ZeroDuration() : kNextLine)) {}

bool TerminalLine::IsDue() const { return os::MonotonicNow() >= next_; }

void TerminalLine::Draw(std::string_view text) {
  next_ = os::MonotonicNow() + (is_terminal_ ? kRedraw : kNextLine);
  absl::FPrintF(stderr, "%s%s%s", is_terminal_ ? "\r" : "", text, is_terminal_ ? "\x1b[K" : "\n");
  std::fflush(stderr);
  is_drawn_ = is_terminal_;
}

void TerminalLine::Clear() {
  if (!is_drawn_) return;
  absl::FPrintF(stderr, "\r\x1b[K");
  std::fflush(stderr);
  is_drawn_ = false;
}

}  // namespace ko
