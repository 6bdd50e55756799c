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

struct BenchmarkProgram {
  std::string path;
  bool pinned =
      false;  // to one processor: only for a program of one process, which then does not move to cold caches
};

struct RunOptions {
  std::vector<BenchmarkProgram> programs = {};
  int rounds = 5;
  double min_time_seconds = 0.2;  // of each benchmark in each round
  std::string filter = {};        // a regular expression of names; all where empty
};

// What is told before each run of a program.
struct RunProgress {
  int round, rounds;
  std::string program;  // its path
  absl::Duration left;  // an estimate
};

struct BenchmarkRuns {
  std::vector<Json> reports;          // in the order in which they were run
  std::vector<std::string> failures;  // of runs that gave none, with their words
};

// Runs all programs in rounds, one after the other, so that what disturbs the machine for a while disturbs all contenders of
// one round and none of the next. A program that knows
// no benchmark of the filter does not run; one that fails is told of, and the others go on: one process too many for the
// machine is not to cost an hour. Errors: Cancelled after SIGINT or SIGTERM; those of a program that is not there.
absl::StatusOr<BenchmarkRuns> RunBenchmarks(const RunOptions& options, SignalDispatcher& signals,
                                            const std::function<void(const RunProgress&)>& progress);

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_REPORTING_RUN_BENCHMARKS_H_
