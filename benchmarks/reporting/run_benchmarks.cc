#include "ko/benchmarks/reporting/run_benchmarks.h"

#include <sched.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ko/benchmarks/reporting/run_program.h"
#include "ko/benchmarks/reporting/time_left.h"

namespace ko::benchmarks {
namespace {

// The last processor that this process may run on: the first has more of the machine's interrupts.
std::vector<int> LastProcessor() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {};
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (CPU_ISSET(cpu, &allowed)) return {cpu};
  }
  return {};
}

std::vector<std::string> Arguments(const BenchmarkProgram& program, const RunOptions& options) {
  std::vector<std::string> arguments = {program.path, "--benchmark_format=json",
                                        absl::StrCat("--benchmark_min_time=", options.min_time_seconds, "s")};
  if (!options.filter.empty()) arguments.push_back(absl::StrCat("--benchmark_filter=", options.filter));
  return arguments;
}

// How many benchmarks of the filter a program has.
absl::StatusOr<size_t> CountBenchmarks(const BenchmarkProgram& program, const RunOptions& options) {
  std::vector<std::string> arguments = Arguments(program, options);
  arguments.push_back("--benchmark_list_tests=true");
  const absl::StatusOr<std::string> output = RunProgram(std::move(arguments), "");
  if (!output.ok()) return output.status();
  return std::count(output->begin(), output->end(), '\n');
}

}  // namespace

absl::StatusOr<BenchmarkRuns> RunBenchmarks(const RunOptions& options, SignalDispatcher& signals,
                                            const std::function<void(const RunProgress&)>& progress) {
  bool interrupted = false;
  for (const int signo : {SIGINT, SIGTERM}) {
    if (absl::Status status = signals.On(signo, [&](const SignalInfo&) { interrupted = true; });
        !status.ok()) {
      return status;
    }
  }
  const auto check_signals = [&]() -> absl::Status {
    if (absl::Status status = signals.Dispatch().status(); !status.ok()) return status;
    return interrupted ? absl::CancelledError("interrupted") : absl::OkStatus();
  };
  std::vector<size_t> counts;
  for (const BenchmarkProgram& program : options.programs) {
    const absl::StatusOr<size_t> count = CountBenchmarks(program, options);
    if (absl::Status status = check_signals(); !status.ok()) return status;
    if (!count.ok()) return count.status();
    counts.push_back(*count);
  }
  // A benchmark finds its number of iterations first, and sets its stage.
  TimeLeft left(counts, options.rounds, 3 * absl::Seconds(options.min_time_seconds));
  BenchmarkRuns runs;
  for (int round = 1; round <= options.rounds; ++round) {
    for (size_t i = 0; i < options.programs.size(); ++i) {
      if (counts[i] == 0) continue;
      const BenchmarkProgram& program = options.programs[i];
      progress({round, options.rounds, program.path, left.Estimate()});
      const absl::Time start = absl::Now();
      const absl::StatusOr<std::string> output =
          RunProgram(Arguments(program, options), "", program.pinned ? LastProcessor() : std::vector<int>());
      if (absl::Status status = check_signals(); !status.ok()) return status;
      left.Note(i, absl::Now() - start);
      absl::StatusOr<Json> report = output.ok() ? Json::Parse(*output) : output.status();
      if (report.ok()) {
        runs.reports.push_back(*std::move(report));
      } else {
        runs.failures.push_back(absl::StrCat(program.path.substr(program.path.rfind('/') + 1), ", round ",
                                             round, ": ", report.status().message()));
      }
    }
  }
  return runs;
}

}  // namespace ko::benchmarks
