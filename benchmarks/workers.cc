// The main job against what one would type without it: every file counted by a process of its own, two at a time.
//   ko: demos run workers --workers=2 --job=count      (forks)
//   xargs: find PATH -type f -print0 | xargs -0 -n1 -P2 wc -lc      (forks and execs)
// The files are those under the environment's BENCHMARK_PATH, /usr/include where it is not set.

#include <cstdlib>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "ko/ko.h"

namespace {

std::string Path() {
  const char* path = std::getenv("BENCHMARK_PATH");
  return path != nullptr ? path : "/usr/include";
}

void RunCommand(benchmark::State& state, std::vector<std::string> argv) {
  const ko::Command command{
      .argv = std::move(argv), .stdout_to = ko::Stdio::Null(), .stderr_to = ko::Stdio::Null()};
  for (auto _ : state) {
    absl::StatusOr<ko::Child> child = ko::Exec(command);
    if (!child.ok() || !child->Wait().value_or(ko::ExitStatus::Unknown()).ok()) {
      state.SkipWithError("the command failed");
      break;
    }
  }
}

// The program lies among the runfiles, in which benchmarks run.
void Ko(benchmark::State& state) {
  RunCommand(state, {"demos/demos", "run", "workers", "--workers=2", "--job=count", "--path=" + Path()});
}

void Xargs(benchmark::State& state) {
  RunCommand(state, {"sh", "-c", "find \"$1\" -type f -print0 | xargs -0 -n1 -P2 wc -lc", "sh", Path()});
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& [name, run] : {std::pair{"Workers/ko", Ko}, std::pair{"Workers/xargs", Xargs}}) {
    benchmark::RegisterBenchmark(name, run)->Unit(benchmark::kMillisecond)->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
