#include "demos/workers/progress.h"

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace ko::demos {

Progress::Progress() : start_(absl::Now()) {}

std::string Progress::Line(const ProgressFigures& figures) const {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
  return absl::StrFormat("%d of %d files, %.0f a second, %d failed, %d workers, %d restarts", figures.done,
                         figures.total, seconds > 0 ? figures.done / seconds : 0, figures.failed,
                         figures.workers_alive, figures.restarts);
}

void Progress::Show(const ProgressFigures& figures) {
  if (line_.IsDue()) line_.Draw(Line(figures));
}

}  // namespace ko::demos
