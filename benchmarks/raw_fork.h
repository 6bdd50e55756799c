#ifndef KO_BENCHMARKS_RAW_FORK_H_
#define KO_BENCHMARKS_RAW_FORK_H_

#include <sys/wait.h>
#include <unistd.h>

#include "benchmark/benchmark.h"
#include "ko/benchmarks/ballast.h"

namespace ko::benchmarks {

inline void Check(benchmark::State& state, bool ok) {
  if (!ok) state.SkipWithError("a child did not do as it should");
}

// The contender of all that start a process and wait for it: `range(0)` MiB of memory, a child that leaves with 7.
inline void RawFork(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(7);
    int status = 0;
    Check(state, ::waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
  }
}

}  // namespace ko::benchmarks

#endif  // KO_BENCHMARKS_RAW_FORK_H_
