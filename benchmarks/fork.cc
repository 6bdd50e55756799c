// What a child costs. ForkWait: from the call to its reaped status. ForkBody: from the call to the first line of the body.
// `rss_mb` is the memory that the caller has touched, which fork copies the page tables of and exec does not.
// `fork_server` was started before there was any, and has four spare children; `fork_server_near` has one, which waits on the
// caller's processor; `fork_server_cold` has none.

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "ko/benchmarks/ballast.h"
#include "ko/benchmarks/python.h"
#include "ko/benchmarks/raw_fork.h"
#include "ko/ko.h"

// Its first version: it is all headers, the second needs a library that is built.
#if __has_include(<boost/process/v1/child.hpp>)
#define KO_HAS_BOOST_PROCESS 1
#define BOOST_PROCESS_USE_STD_FS 1
#include <boost/process/v1/child.hpp>
#include <boost/version.hpp>
#endif

namespace {

using ko::benchmarks::Ballast;
using ko::benchmarks::Check;
using ko::benchmarks::RawFork;

void Ko(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    absl::StatusOr<ko::Child> child = ko::Fork([] { return 7; });
    Check(state,
          child.ok() && child->Wait().value_or(ko::ExitStatus::Unknown()) == ko::ExitStatus::Exited(7));
  }
}

// With memory that the child could use and nobody does.
void KoBesideSharedMemory(benchmark::State& state) {
  const absl::StatusOr<ko::SharedMemory> memory = ko::SharedMemory::Create();
  Check(state, memory.ok());
  Ko(state);
}

int ReturnSeven() { return 7; }

void ForkServerWait(benchmark::State& state, const ko::ForkServer& server) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    absl::StatusOr<ko::Child> child = server.Fork<&ReturnSeven>();
    Check(state,
          child.ok() && child->Wait().value_or(ko::ExitStatus::Unknown()) == ko::ExitStatus::Exited(7));
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

void VforkExec(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  const char* const argv[] = {"/bin/true", nullptr};
  for (auto _ : state) {
    const pid_t pid = ::vfork();
    if (pid == 0) {
      ::execve(argv[0], const_cast<char**>(argv), environ);
      ::_exit(127);
    }
    int status = 1;
    Check(state, ::waitpid(pid, &status, 0) == pid && status == 0);
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

#ifdef KO_HAS_BOOST_PROCESS
void BoostProcess(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    boost::process::v1::child child("/bin/true");
    child.wait();
    Check(state, child.exit_code() == 0);
  }
}
#endif

// multiprocessing.Process as its documentation shows it.
void Python(benchmark::State& state) {
  for (auto _ : state) {
    const double seconds = ko::benchmarks::PythonSeconds(
        "import multiprocessing, sys, time\n"
        "context = multiprocessing.get_context(\"fork\")\n"
        "def seven(): sys.exit(7)\n"
        "start = time.perf_counter()\n"
        "for _ in range(100):\n"
        "  child = context.Process(target=seven)\n"
        "  child.start()\n"
        "  child.join()\n"
        "  if child.exitcode != 7: sys.exit(1)\n"
        "print((time.perf_counter() - start) / 100)\n");
    Check(state, seconds > 0);
    state.SetIterationTime(seconds);
  }
}

// When a body's first line ran, by its own word, in memory that it shares with the caller.
std::atomic<int64_t>* body_began = nullptr;

int64_t NowNanoseconds() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
void NoteBegin() { body_began->store(NowNanoseconds(), std::memory_order_relaxed); }

// `cycle` makes a child that calls NoteBegin, and waits for its end.
template <class Cycle>
void TimeToBody(benchmark::State& state, Cycle cycle) {
  const Ballast ballast(state.range(0));
  for (auto _ : state) {
    const int64_t begin = NowNanoseconds();
    Check(state, cycle());
    state.SetIterationTime(static_cast<double>(body_began->load(std::memory_order_relaxed) - begin) * 1e-9);
    ::usleep(1000);  // outside of the time: a spare's successor is forked meanwhile, for all contenders alike
  }
}

void RawForkBody(benchmark::State& state) {
  TimeToBody(state, [] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      NoteBegin();
      ::_exit(0);
    }
    int status = 1;
    return ::waitpid(pid, &status, 0) == pid && status == 0;
  });
}

bool EndsWell(absl::StatusOr<ko::Child> child) {
  return child.ok() && child->Wait().value_or(ko::ExitStatus::Unknown()).ok();
}

void KoBody(benchmark::State& state) {
  TimeToBody(state, [] { return EndsWell(ko::Fork(NoteBegin)); });
}

void ForkServerBody(benchmark::State& state, const ko::ForkServer& server) {
  TimeToBody(state, [&server] { return EndsWell(server.Fork<&NoteBegin>()); });
}

template <class Run>
benchmark::internal::Benchmark* Register(const std::string& name, Run run) {
  return benchmark::RegisterBenchmark(name.c_str(), run)
      ->ArgName("rss_mb")
      ->Arg(0)
      ->Arg(256)
      ->Arg(1024)
      ->Arg(4096)
      ->Unit(benchmark::kMicrosecond);
}

template <class Run>
void RegisterWait(const char* contender, Run run) {
  Register(std::string("ForkWait/") + contender, run)->UseRealTime();
}

template <class Run>
void RegisterBody(const char* contender, Run run) {
  Register(std::string("ForkBody/") + contender, run)->UseManualTime();
}

ko::ForkServer StartServer(int spares, bool near_caller = false) {
  ko::ForkServerOptions options;
  options.spares = spares;
  options.spares_near_caller = near_caller;
  return ko::ForkServer::Start(std::move(options)).value();
}

}  // namespace

int main(int argc, char** argv) {
  void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 1;
  body_began = new (page) std::atomic<int64_t>(0);
  // Early: before there is any ballast.
  const ko::ForkServer server = StartServer(4), cold_server = StartServer(0),
                       near_server = StartServer(1, true);

  RegisterWait("raw_fork", RawFork);
  RegisterWait("ko", Ko);
  RegisterWait("ko_beside_shared_memory", KoBesideSharedMemory);
  RegisterWait("fork_server", [&](benchmark::State& state) { ForkServerWait(state, server); });
  RegisterWait("fork_server_near", [&](benchmark::State& state) { ForkServerWait(state, near_server); });
  RegisterWait("fork_server_cold", [&](benchmark::State& state) { ForkServerWait(state, cold_server); });
  RegisterWait("vfork_exec", VforkExec);
  RegisterWait("posix_spawn", PosixSpawn);
  RegisterWait("ko_exec", KoExec);
#ifdef KO_HAS_BOOST_PROCESS
  benchmark::AddCustomContext("Boost", BOOST_LIB_VERSION);
  RegisterWait("boost_process", BoostProcess);
#endif
  if (const std::string python = ko::benchmarks::PythonVersion(); !python.empty()) {
    benchmark::AddCustomContext("Python", python);
    benchmark::RegisterBenchmark("ForkWait/python", Python)
        ->Unit(benchmark::kMicrosecond)
        ->ArgName("rss_mb")
        ->Arg(0)
        ->Iterations(1)
        ->UseManualTime();
  }
  RegisterBody("raw_fork", RawForkBody);
  RegisterBody("ko", KoBody);
  RegisterBody("fork_server", [&](benchmark::State& state) { ForkServerBody(state, server); });
  RegisterBody("fork_server_near", [&](benchmark::State& state) { ForkServerBody(state, near_server); });
  RegisterBody("fork_server_cold", [&](benchmark::State& state) { ForkServerBody(state, cold_server); });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
