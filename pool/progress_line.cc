#include "ko/pool/progress_line.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/os/deadline.h"

namespace ko {

ProgressLine::ProgressLine(std::string what) : what_(std::move(what)), start_(os::MonotonicNow()) {}

void ProgressLine::operator()(const MapProgress& progress) {
  if (line_.IsDue()) line_.Draw(ProgressText(progress, what_, os::MonotonicNow() - start_));
}

std::string ProgressText(const MapProgress& progress, std::string_view what, absl::Duration elapsed) {
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const double rate = seconds > 0 ? static_cast<double>(progress.done) / seconds : 0;
  const double percent =
      progress.total > 0 ? 100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.total)
                         : 100;
  std::string text = absl::StrFormat("%d of %d %s (%.0f%%), %.0f a second", progress.done, progress.total,
                                     what, percent, rate);
  if (progress.failed > 0) absl::StrAppend(&text, ", ", progress.failed, " failed");
  if (rate > 0 && progress.done < progress.total) {
    absl::StrAppendFormat(&text, ", %.0f s left", static_cast<double>(progress.total - progress.done) / rate);
  }
  return text;
}

}  // namespace ko
