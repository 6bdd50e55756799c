#include "demos/supervisor/chart.h"

#include <algorithm>

namespace ko::demos {

std::string ChartRow(const std::vector<Change>& changes, absl::Duration total, int width) {
  if (width <= 0 || total <= absl::ZeroDuration()) return "";
  std::string row(width, '.');
  const auto column = [&](absl::Duration at) {
    return std::clamp(static_cast<int>(absl::FDivDuration(at, total) * width), 0, width - 1);
  };
  for (const Change& change : changes) {
    // A crash stays visible although the process is back within the same column.
    const int at = column(change.at);
    const int from = row[at] == '!' ? at + 1 : at;
    std::fill(row.begin() + from, row.end(), change.kind == Change::Kind::kStarted ? '#' : '.');
    if (change.kind == Change::Kind::kCrashed) row[at] = '!';
  }
  return row;
}

}  // namespace ko::demos
