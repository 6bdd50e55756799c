// What the machine itself takes: the parts that all other figures are made of.

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "benchmark/benchmark.h"
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

void MemoryCopy(benchmark::State& state) {
  std::vector<char> from(1 << 16, 'x'), to(1 << 16);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(from.size()));
}
BENCHMARK(MemoryCopy)->Name("Limits/copy_of_64_kib");

}  // namespace
