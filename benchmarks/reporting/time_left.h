#ifndef KO_BENCHMARKS_REPORTING_TIME_LEFT_H_
#define KO_BENCHMARKS_REPORTING_TIME_LEFT_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/time/time.h"

namespace ko::benchmarks {

// Estimates how long the rest of a run of several programs in rounds takes. What has run is taken to run as long again;
// what has not, as long for each of its benchmarks as those of the others, or as `guess` before there are any. Pure: it is
// told what time has passed.
class TimeLeft {
 public:
  // How many benchmarks each program has, and how long one may take.
  TimeLeft(std::vector<size_t> benchmarks, int rounds, absl::Duration guess);

  // A program has run once.
  void Note(size_t program, absl::Duration took);
  absl::Duration Estimate() const;

 private:
  struct Program {
    size_t benchmarks;
    int runs_left;
    std::optional<absl::Duration> took;  // the last time
  };
  std::vector<Program> programs_;
  absl::Duration guess_;
};

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_TIME_LEFT_H_
