#include "ko/benchmarks/reporting/time_left.h"

namespace ko::benchmarks {

TimeLeft::TimeLeft(std::vector<size_t> benchmarks, int rounds, absl::Duration guess) : guess_(guess) {
  for (const size_t count : benchmarks) programs_.push_back({count, rounds, std::nullopt});
}

void TimeLeft::Note(size_t program, absl::Duration took) {
  programs_[program].took = took;
  if (programs_[program].runs_left > 0) --programs_[program].runs_left;
}

absl::Duration TimeLeft::Estimate() const {
  absl::Duration known;
  double known_benchmarks = 0;
  for (const Program& program : programs_) {
    if (!program.took.has_value()) continue;
    known += *program.took;
    known_benchmarks += static_cast<double>(program.benchmarks);
  }
  const absl::Duration each = known_benchmarks > 0 ? known / known_benchmarks : guess_;
  absl::Duration left;
  for (const Program& program : programs_) {
    const absl::Duration once = program.took.value_or(static_cast<double>(program.benchmarks) * each);
    left += program.runs_left * once;
  }
  return left;
}

}  // namespace ko::benchmarks
