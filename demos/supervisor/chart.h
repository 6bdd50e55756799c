#ifndef KO_DEMOS_SUPERVISOR_CHART_H_
#define KO_DEMOS_SUPERVISOR_CHART_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace ko::demos {

// A moment at which a process starts to run, ends, or crashes.
struct Change {
  enum class Kind { kStarted, kEnded, kCrashed };
  absl::Duration at;
  Kind kind;
};

// A row of `width` columns for the time from 0 to `total`: '#' where the process runs, '.' where it does not, '!' where it
// crashed. `changes` are in the order of their times. Pure. Empty where there is no time or no width.
std::string ChartRow(const std::vector<Change>& changes, absl::Duration total, int width);

}  // namespace ko::demos

#endif  // KO_DEMOS_SUPERVISOR_CHART_H_
