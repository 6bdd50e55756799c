#include "ko/benchmarks/reporting/compare.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/benchmarks/reporting/statistics.h"
#include "ko/benchmarks/reporting/table.h"

namespace ko::benchmarks {
namespace {

constexpr double kChance = 0.05;

}  // namespace

std::vector<Change> Compare(const Measurements& before, const Measurements& after) {
  std::vector<Change> changes;
  for (const auto& [name, measurement] : after) {
    const auto found = before.find(name);
    if (found == before.end()) continue;
    const double before_ns = Median(found->second.nanoseconds);
    const double after_ns = Median(measurement.nanoseconds);
    if (before_ns <= 0) continue;
    changes.push_back({name, before_ns, after_ns, after_ns / before_ns,
                       MannWhitneyProbability(found->second.nanoseconds, measurement.nanoseconds)});
  }
  return changes;
}

bool IsSlower(const Change& change, double at_least) {
  return change.probability < kChance && change.ratio >= 1 + at_least;
}

std::string DescribeChanges(const std::vector<Change>& changes, double at_least) {
  std::string text;
  int slower = 0;
  int faster = 0;
  for (const Change& change : changes) {
    const bool is_slower = IsSlower(change, at_least);
    const bool is_faster = change.probability < kChance && change.ratio <= 1 / (1 + at_least);
    if (!is_slower && !is_faster) continue;
    ++(is_slower ? slower : faster);
    absl::StrAppendFormat(&text, "%s  %s: %s, was %s (x%.2f, p=%.3f)\n", is_slower ? "slower" : "faster",
                          change.name.ToString(), FormatTime(change.after_ns), FormatTime(change.before_ns),
                          change.ratio, change.probability);
  }
  absl::StrAppendFormat(&text, "%d compared: %d slower, %d faster, by at least %.0f %% and beyond chance\n",
                        changes.size(), slower, faster, at_least * 100);
  return text;
}

}  // namespace ko::benchmarks
