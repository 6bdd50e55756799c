// What handing work to others costs: forked workers (ko), threads of this program behind a mutex and a condition variable
// (thread_pool), Python's ProcessPoolExecutor (python, where it is installed).
//
// PoolThroughput: empty tasks, `chunk` at once. PoolRoundTrip: one empty task, from the call to its result: `idle` after a
// pause in which everybody has gone to sleep, `hot` without; futex is two processes that wake each other in turn and do
// nothing else. PoolMap: work that keeps all processors busy, in a pool that has begun.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "ko/benchmarks/beside.h"
#include "ko/benchmarks/python.h"
#include "ko/ko.h"
#include "ko/os/shared_mapping.h"

namespace {

constexpr size_t kThroughputTasks = 20'000;
constexpr size_t kMapTasks = 2'000;

int Workers() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

int Empty(int x) { return x; }

// About 50 us.
uint64_t Digest(int seed) {
  uint64_t x = static_cast<uint64_t>(seed) + 1;
  for (int i = 0; i < 40'000; ++i) x = x * 6364136223846793005u + (x >> 33);
  return x;
}

// The pool that one writes in an afternoon.
class ThreadPool {
 public:
  ThreadPool() {
    for (int i = 0; i < Workers(); ++i) threads_.emplace_back([this] { Work(); });
  }
  ~ThreadPool() {
    {
      std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Submit(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ends_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

// Lets one wait for several tasks.
class Countdown {
 public:
  explicit Countdown(size_t count) : left_(count) {}
  void Down() {
    std::lock_guard lock(mutex_);
    if (--left_ == 0) done_.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  size_t left_;
};

template <auto function, class R>
void ThreadPoolMap(ThreadPool& pool, const std::vector<int>& items, size_t chunk, std::vector<R>& results) {
  Countdown left((items.size() + chunk - 1) / chunk);
  for (size_t begin = 0; begin < items.size(); begin += chunk) {
    pool.Submit([&, begin] {
      const size_t end = std::min(begin + chunk, items.size());
      for (size_t i = begin; i < end; ++i) results[i] = function(items[i]);
      left.Down();
    });
  }
  left.Wait();
}

std::vector<int> Numbers(size_t count) {
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

absl::StatusOr<ko::ProcessPool> MakePool(benchmark::State& state) {
  absl::StatusOr<ko::ProcessPool> pool = ko::ProcessPool::Create({.workers = Workers()});
  if (!pool.ok()) state.SkipWithError(pool.status().ToString().c_str());
  return pool;
}

void ThroughputKo(benchmark::State& state) {
  absl::StatusOr<ko::ProcessPool> pool = MakePool(state);
  const std::vector<int> items = Numbers(kThroughputTasks);
  for (auto _ : state) {
    const auto results = pool->Map<&Empty>(items, {.chunk = static_cast<size_t>(state.range(0))});
    if (results.back().value_or(-1) != items.back()) state.SkipWithError("a result is wrong");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items.size()));
}

// The same by Submit and Get, as a user writes it who has one task at a time.
void ThroughputKoSubmit(benchmark::State& state) {
  absl::StatusOr<ko::ProcessPool> pool = MakePool(state);
  std::vector<ko::Future<int>> futures(kThroughputTasks);
  for (auto _ : state) {
    for (size_t i = 0; i < futures.size(); ++i) futures[i] = pool->Submit<&Empty>(static_cast<int>(i));
    for (size_t i = 0; i < futures.size(); ++i) {
      if (futures[i].Get().value_or(-1) != static_cast<int>(i)) state.SkipWithError("a result is wrong");
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * futures.size()));
}

void ThroughputThreadPool(benchmark::State& state) {
  ThreadPool pool;
  const std::vector<int> items = Numbers(kThroughputTasks);
  std::vector<int> results(items.size());
  for (auto _ : state) {
    ThreadPoolMap<&Empty>(pool, items, static_cast<size_t>(state.range(0)), results);
    if (results.back() != items.back()) state.SkipWithError("a result is wrong");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items.size()));
}

// In the way of its documentation.
std::string PythonPool(const std::string& body) {
  return "import multiprocessing, sys, time\n"
         "from concurrent.futures import ProcessPoolExecutor\n"
         "def empty(x): return x\n"
         "with ProcessPoolExecutor(" +
         std::to_string(Workers()) +
         ", multiprocessing.get_context(\"fork\")) as pool:\n"
         "  list(pool.map(empty, range(100)))\n"
         "  start = time.perf_counter()\n" +
         body + "  if results != list(range(len(results))): sys.exit(1)\n";
}

void ThroughputPython(benchmark::State& state) {
  const std::string script =
      PythonPool("  results = list(pool.map(empty, range(5000), chunksize=" + std::to_string(state.range(0)) +
                 "))\n"
                 "  print(time.perf_counter() - start)\n");
  for (auto _ : state) {
    const double seconds = ko::benchmarks::PythonSeconds(script);
    if (seconds <= 0) state.SkipWithError("python3 failed");
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * 5000));
}

void RoundTripPython(benchmark::State& state) {
  const std::string script = PythonPool(
      "  results = [pool.submit(empty, i).result() for i in range(1000)]\n"
      "  print((time.perf_counter() - start) / 1000)\n");
  for (auto _ : state) {
    const double seconds = ko::benchmarks::PythonSeconds(script);
    if (seconds <= 0) state.SkipWithError("python3 failed");
    state.SetIterationTime(seconds);
  }
}

void RoundTrips(benchmark::State& state, const std::function<void()>& trip) {
  const bool idle = state.range(0) != 0;
  for (int i = 0; i < 1000; ++i) trip();
  for (auto _ : state) {
    if (idle) {
      state.PauseTiming();
      const timespec pause = {0, 500'000};
      ::nanosleep(&pause, nullptr);
      state.ResumeTiming();
    }
    trip();
  }
}

void RoundTripKo(benchmark::State& state) {
  absl::StatusOr<ko::ProcessPool> pool = MakePool(state);
  RoundTrips(state, [&] {
    if (pool->Submit<&Empty>(7).Get().value_or(-1) != 7) state.SkipWithError("a result is wrong");
  });
}

void RoundTripThreadPool(benchmark::State& state) {
  ThreadPool pool;
  RoundTrips(state, [&] {
    Countdown left(1);
    int result = 0;
    pool.Submit([&] {
      result = Empty(7);
      left.Down();
    });
    left.Wait();
    if (result != 7) state.SkipWithError("a result is wrong");
  });
}

void SleepUntil(std::atomic<uint32_t>& word, uint32_t value) {
  for (uint32_t seen = word.load(); seen != value; seen = word.load()) {
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
}
void SetAndWake(std::atomic<uint32_t>& word, uint32_t value) {
  word.store(value);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void RoundTripFutex(benchmark::State& state) {
  const ko::os::SharedMapping mapping = *ko::os::SharedMapping::Create(4096);
  auto& word = *static_cast<std::atomic<uint32_t>*>(mapping.data());
  ko::benchmarks::Beside other([&word] {
    SleepUntil(word, 1);
    SetAndWake(word, 0);
  });
  RoundTrips(state, [&] {
    SetAndWake(word, 1);
    SleepUntil(word, 0);
  });
}

void MapKo(benchmark::State& state) {
  absl::StatusOr<ko::ProcessPool> pool = MakePool(state);
  const std::vector<int> items = Numbers(kMapTasks);
  const auto map = [&] {
    const auto results = pool->Map<&Digest>(items);
    if (!results.back().ok()) state.SkipWithError("a result is wrong");
  };
  map();
  for (auto _ : state) map();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items.size()));
}

void MapThreadPool(benchmark::State& state) {
  ThreadPool pool;
  const std::vector<int> items = Numbers(kMapTasks);
  std::vector<uint64_t> results(items.size());
  const auto map = [&] {
    ThreadPoolMap<&Digest>(pool, items, 16, results);
    benchmark::DoNotOptimize(results.data());
  };
  map();
  for (auto _ : state) map();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * items.size()));
}

benchmark::internal::Benchmark* Register(const char* name, void (*run)(benchmark::State&)) {
  return benchmark::RegisterBenchmark(name, run)->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void RegisterChunks(const char* name, void (*run)(benchmark::State&)) {
  Register(name, run)->ArgName("chunk")->Arg(1)->Arg(16)->Arg(256);
}

void RegisterTrips(const char* name, void (*run)(benchmark::State&)) {
  Register(name, run)->ArgName("idle")->Arg(0)->Arg(1);
}

}  // namespace

int main(int argc, char** argv) {
  RegisterChunks("PoolThroughput/ko", ThroughputKo);
  Register("PoolThroughput/ko_submit", ThroughputKoSubmit)->ArgName("chunk")->Arg(1);
  RegisterChunks("PoolThroughput/thread_pool", ThroughputThreadPool);
  if (const std::string python = ko::benchmarks::PythonVersion(); !python.empty()) {
    benchmark::AddCustomContext("Python", python);
    benchmark::RegisterBenchmark("PoolRoundTrip/python", RoundTripPython)
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime()
        ->Iterations(1)
        ->ArgName("idle")
        ->Arg(0);
    benchmark::RegisterBenchmark("PoolThroughput/python", ThroughputPython)
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime()
        ->Iterations(1)
        ->ArgName("chunk")
        ->Arg(1)
        ->Arg(16)
        ->Arg(256);
  }
  RegisterTrips("PoolRoundTrip/ko", RoundTripKo);
  RegisterTrips("PoolRoundTrip/thread_pool", RoundTripThreadPool);
  RegisterTrips("PoolRoundTrip/futex", RoundTripFutex);
  Register("PoolMap/ko", MapKo);
  Register("PoolMap/thread_pool", MapThreadPool);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
