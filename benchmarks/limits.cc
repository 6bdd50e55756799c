// What the machine itself takes: the parts that all other figures are made of.

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "benchmark/benchmark.h"
#include "ko/benchmarks/ballast.h"
#include "ko/benchmarks/beside.h"
#include "ko/benchmarks/raw_futex.h"
#include "ko/benchmarks/shared_object.h"
#include "ko/os/relax.h"

namespace {

using ko::benchmarks::Beside;
using ko::benchmarks::SharedObject;

void LockedInstruction(benchmark::State& state) {
  std::atomic<uint64_t> word = 0;
  for (auto _ : state) word.fetch_add(1);
}
BENCHMARK(LockedInstruction)->Name("Limits/locked_instruction");

void SystemCall(benchmark::State& state) {
  for (auto _ : state) ::syscall(SYS_getppid);
}
BENCHMARK(SystemCall)->Name("Limits/system_call");

// A cache line that another processor has changed: there and back, with both looking all the time.
void CacheLine(benchmark::State& state) {
  const SharedObject<std::atomic<uint32_t>> word;
  const Beside other([&] {
    while (word->load(std::memory_order_acquire) != 1) ko::os::Relax();
    word->store(0, std::memory_order_release);
  });
  for (auto _ : state) {
    word->store(1, std::memory_order_release);
    while (word->load(std::memory_order_acquire) != 0) ko::os::Relax();
  }
}
BENCHMARK(CacheLine)->Name("Limits/cache_line_there_and_back")->UseRealTime();

// On one processor, where one process can only go on when the other sleeps.
void ContextSwitch(benchmark::State& state) {
  cpu_set_t all;
  ::sched_getaffinity(0, sizeof(all), &all);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof(one), &one);
  struct Words {
    std::atomic<uint32_t> there, back;
  };
  const SharedObject<Words> words;
  const auto post = [](std::atomic<uint32_t>& word) {
    word.store(1);
    ko::benchmarks::FutexWakeOne(word);
  };
  const auto await = [](std::atomic<uint32_t>& word) {
    while (word.exchange(0) == 0) ko::benchmarks::FutexSleep(word, 0);
  };
  {
    const Beside other([&] {
      await(words->there);
      post(words->back);
    });
    for (auto _ : state) {
      post(words->there);
      await(words->back);
    }
  }
  ::sched_setaffinity(0, sizeof(all), &all);
}
BENCHMARK(ContextSwitch)->Name("Limits/two_context_switches")->UseRealTime();

// The fork itself, without the child's life and end, of a process that has touched as much in pages of 4 KiB.
void PageTables(benchmark::State& state) {
  const ko::benchmarks::Ballast ballast(256);
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(took.count());
    ::waitpid(pid, nullptr, 0);
  }
}
BENCHMARK(PageTables)->Name("Limits/page_tables_of_256_mib")->UseManualTime();

void MemoryCopy(benchmark::State& state, size_t bytes) {
  std::vector<char> from(bytes, 'x'), to(bytes);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}
BENCHMARK_CAPTURE(MemoryCopy, cached, 1 << 16)->Name("Limits/copy_of_64_kib");
BENCHMARK_CAPTURE(MemoryCopy, uncached, 1 << 26)->Name("Limits/copy_of_64_mib");

}  // namespace
