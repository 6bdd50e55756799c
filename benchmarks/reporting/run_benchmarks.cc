#include "ko/benchmarks/reporting/run_benchmarks.h"

#include <csignal>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ko/benchmarks/reporting/run_program.h"

namespace ko::benchmarks {

absl::StatusOr<std::vector<Json>> RunBenchmarks(const RunOptions& options, SignalDispatcher& signals,
                                                const std::function<void(const RunProgress&)>& progress) {
  bool interrupted = false;
  for (const int signo : {SIGINT, SIGTERM}) {
    if (absl::Status status = signals.On(signo, [&](const SignalInfo&) { interrupted = true; });
        !status.ok()) {
      return status;
    }
  }
  std::vector<Json> reports;
  std::map<std::string, absl::Duration> took;  // in the round before
  std::set<std::string> without_any;
  for (int round = 1; round <= options.rounds; ++round) {
    for (size_t i = 0; i < options.binaries.size(); ++i) {
      const std::string& binary = options.binaries[i];
      if (without_any.contains(binary)) continue;
      absl::Duration left = round == 1 ? absl::InfiniteDuration() : absl::ZeroDuration();
      if (round > 1) {
        for (size_t j = 0; j < options.binaries.size(); ++j) {
          const int rounds_left = options.rounds - round + (j >= i ? 1 : 0);
          left += rounds_left * took[options.binaries[j]];
        }
      }
      progress({round, options.rounds, binary, left});
      std::vector<std::string> argv = {binary, "--benchmark_format=json",
                                       absl::StrCat("--benchmark_min_time=", options.min_time_seconds, "s")};
      if (!options.filter.empty()) argv.push_back(absl::StrCat("--benchmark_filter=", options.filter));
      const absl::Time start = absl::Now();
      const absl::StatusOr<std::string> output = RunProgram(std::move(argv), "");
      if (absl::Status status = signals.Dispatch().status(); !status.ok()) return status;
      if (interrupted) return absl::CancelledError("interrupted");
      if (!output.ok()) return output.status();
      took[binary] = absl::Now() - start;
      // Where no name matches, it says so on its standard error and prints nothing.
      if (output->find('{') == std::string::npos) {
        without_any.insert(binary);
        continue;
      }
      absl::StatusOr<Json> report = Json::Parse(std::string_view(*output).substr(output->find('{')));
      if (!report.ok()) return report.status();
      reports.push_back(*std::move(report));
    }
  }
  return reports;
}

}  // namespace ko::benchmarks
