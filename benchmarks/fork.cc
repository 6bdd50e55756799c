// What a child costs: from the call to its reaped status. `rss_mb` is the memory that the caller has touched, which fork
// copies the page tables of and exec does not.

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "benchmark/benchmark.h"
#include "ko/ko.h"

namespace {

// Memory of the caller's, in small pages, as a heap is.
class Ballast {
 public:
  explicit Ballast(size_t megabytes) : bytes_(megabytes << 20) {
    if (bytes_ == 0) return;
    data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::madvise(data_, bytes_, MADV_NOHUGEPAGE);
    std::memset(data_, 1, bytes_);
  }
  ~Ballast() {
    if (bytes_ != 0) ::munmap(data_, bytes_);
  }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

void Check(benchmark::State& state, bool ok) {
  if (!ok) state.SkipWithError("a child did not end as it should");
}

void RawFork(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(7);
    int status = 0;
    Check(state, ::waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
  }
}

void Ko(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    absl::StatusOr<ko::Child> child = ko::Fork([] { return 7; });
    Check(state,
          child.ok() && child->Wait().value_or(ko::ExitStatus::Unknown()) == ko::ExitStatus::Exited(7));
  }
}

void KoManager(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  ko::ProcessManager manager;
  for (auto _ : state) {
    Check(state, manager.Fork([] { return 7; }).Wait().value_or(ko::ExitStatus::Unknown()) ==
                     ko::ExitStatus::Exited(7));
  }
}

void PosixSpawn(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  std::string program = "/bin/true";
  char* argv[] = {program.data(), nullptr};
  for (auto _ : state) {
    pid_t pid = 0;
    int status = 1;
    Check(state, ::posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv, environ) == 0 &&
                     ::waitpid(pid, &status, 0) == pid && status == 0);
  }
}

void KoExec(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  const ko::Command command{.argv = {"/bin/true"}};
  for (auto _ : state) {
    absl::StatusOr<ko::Child> child = ko::Exec(command);
    Check(state, child.ok() && child->Wait().value_or(ko::ExitStatus::Unknown()).ok());
  }
}

void Register(const char* contender, void (*run)(benchmark::State&)) {
  benchmark::RegisterBenchmark((std::string("ForkWait/") + contender).c_str(), run)
      ->ArgName("rss_mb")
      ->Arg(0)
      ->Arg(256)
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

}  // namespace

int main(int argc, char** argv) {
  Register("raw_fork", RawFork);
  Register("ko", Ko);
  Register("ko_manager", KoManager);
  Register("posix_spawn", PosixSpawn);
  Register("ko_exec", KoExec);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
