#include "demos/workers/progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace ko::demos {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kNextLine = absl::Seconds(5);

}  // namespace

Progress::Progress()
    : is_terminal_(::isatty(STDERR_FILENO) != 0),
      start_(absl::Now()),
      next_(is_terminal_ ? start_ : start_ + kNextLine) {}

std::string Progress::Line(const ProgressFigures& figures) const {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
  return absl::StrFormat("%d of %d files, %.0f a second, %d failed, %d workers, %d restarts", figures.done,
                         figures.total, seconds > 0 ? figures.done / seconds : 0, figures.failed,
                         figures.workers_alive, figures.restarts);
}

void Progress::Show(const ProgressFigures& figures) {
  const absl::Time now = absl::Now();
  if (now < next_) return;
  next_ = now + (is_terminal_ ? kRedraw : kNextLine);
  absl::FPrintF(stderr, is_terminal_ ? "\r%s\x1b[K" : "%s\n", Line(figures));
  std::fflush(stderr);
}

void Progress::Clear() {
  if (is_terminal_) absl::FPrintF(stderr, "\r\x1b[K");
}

}  // namespace ko::demos
