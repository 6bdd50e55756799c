#ifndef KO_BENCHMARKS_REPORTING_GOALS_H_
#define KO_BENCHMARKS_REPORTING_GOALS_H_

#include <span>
#include <string>
#include <vector>

#include "ko/benchmarks/reporting/measurements.h"

namespace ko::benchmarks {

// What a figure is to reach, most often as a ratio to another figure of the same run: those differ less between machines. A
// value.
struct Goal {
  enum class Kind {
    kTimesAsLong,        // the time is at most `bound` times the reference's
    kTimesAsFast,        // the reference's time is at least `bound` times the figure's
    kTimesAsMany,        // the items a second are at least `bound` times the reference's
    kNanosecondsAtMost,  // the time; without a reference
    kPerSecondAtLeast,   // the items; without a reference
    kCounterAtMost,      // the benchmark's own counter of the name that stands as the reference
  };
  std::string what;       // for someone who has not read the code
  std::string figure;     // a benchmark's name: "Lock/ko"
  std::string reference;  // "Lock/pthread_robust"
  Kind kind;
  double bound;
};

// A goal beside what was measured. A value.
struct Verdict {
  enum class Outcome { kHolds, kMisses, kNotMeasured };

  Goal goal;
  Outcome outcome = Outcome::kNotMeasured;
  double reached = 0;         // by the medians, in what the bound is in
  double least = 0;           // by the quartiles that make it smallest
  double most = 0;            // and largest
  bool within_noise = false;  // the bound lies between those two: another run may tell otherwise
};

// All goals of the project, in the order in which they are shown.
std::span<const Goal> Goals();

// In the order of the goals. Pure.
std::vector<Verdict> Judge(std::span<const Goal> goals, const Measurements& measurements);

// "at most 1.2 x Lock/pthread_robust", "at least 1.00 M/s".
std::string DescribeBound(const Goal& goal);
// "1.09 x (1.05 to 1.12)", "0.42 µs"; empty where it was not measured.
std::string DescribeReached(const Verdict& verdict);
// "holds", "misses", "not measured", with "within the noise" where that is so.
std::string DescribeOutcome(const Verdict& verdict);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_GOALS_H_
