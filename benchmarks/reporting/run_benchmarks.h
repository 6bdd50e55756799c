#ifndef KO_BENCHMARKS_REPORTING_RUN_BENCHMARKS_H_
#define KO_BENCHMARKS_REPORTING_RUN_BENCHMARKS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/benchmarks/reporting/json.h"
#include "ko/signals/signal_dispatcher.h"

namespace ko::benchmarks {

struct RunOptions {
  std::vector<std::string> binaries;  // paths
  int rounds = 5;
  double min_time_seconds = 0.2;  // of each benchmark in each round
  std::string filter;             // a regular expression of names; all where empty
};

// What is told before each run of a binary.
struct RunProgress {
  int round, rounds;
  std::string binary;
  absl::Duration left;  // an estimate; infinite before the first round has ended
};

// Runs all binaries in rounds, one after the other, so that what disturbs the machine for a while disturbs all contenders of
// one round and none of the next. Each gives a report, in the order in which they were run; the binaries that know no
// benchmark of the filter give none. Errors: Cancelled after SIGINT or SIGTERM; those of the binaries.
absl::StatusOr<std::vector<Json>> RunBenchmarks(const RunOptions& options, SignalDispatcher& signals,
                                                const std::function<void(const RunProgress&)>& progress);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_RUN_BENCHMARKS_H_
