// What a supervisor costs.
//
// ForkWait: a child is started, ends, and is waited for. Respawn: from the death of a process to the first line of the one
// in its place. Both by the memory that the caller has touched (`rss_mb`). ExitHandling: a child has ended (it is a
// zombie already); from there until it is reaped and its handler has run, while so many others live, for one of the last that were
// started; so only their number differs. ExitHandlingOld: the same for those that were started among them: what the kernel and
// the program know of such a one has gone cold since, and is in pages that the younger ones have a copy of. IdleWakeups: how
// often a manager whose children do nothing runs in two seconds.

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "benchmark/benchmark.h"
#include "ko/benchmarks/ballast.h"
#include "ko/benchmarks/raw_fork.h"
#include "ko/benchmarks/raw_futex.h"
#include "ko/benchmarks/shared_object.h"
#include "ko/ko.h"
#include "ko/os/pidfd.h"
#include "ko/os/unique_fd.h"

namespace {

using ko::benchmarks::Ballast;
using ko::benchmarks::Check;
using ko::benchmarks::RawFork;
using ko::benchmarks::SharedObject;

int64_t NowNanoseconds() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

[[noreturn]] void PauseForEver() {
  for (;;) ::pause();
}

// --- ForkWait ---------------------------------------------------------------------------------------------------------

void ManagerFork(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  ko::ProcessManager manager;
  for (auto _ : state) {
    Check(state, manager.Fork([] { return 7; }).Wait().value_or(ko::ExitStatus::Unknown()) ==
                     ko::ExitStatus::Exited(7));
  }
}

// --- Respawn ----------------------------------------------------------------------------------------------------------

// What the first line of a process in another one's place says.
class Births {
 public:
  void Tell() {
    words_->at.store(NowNanoseconds(), std::memory_order_relaxed);
    words_->count.fetch_add(1, std::memory_order_release);  // pairs with Await's load
    ko::benchmarks::FutexWakeOne(words_->count);
  }
  // When the process that is the `count`th began.
  int64_t Await(uint32_t count) {
    for (;;) {
      const uint32_t now = words_->count.load(std::memory_order_acquire);  // pairs with Tell
      if (now >= count) return words_->at.load(std::memory_order_relaxed);
      ko::benchmarks::FutexSleep(words_->count, now);
    }
  }

 private:
  struct Words {
    std::atomic<int64_t> at;
    std::atomic<uint32_t> count;
  };
  const SharedObject<Words> words_;
};

// `replace` kills the process that there is, and returns when another one has been started.
template <class Replace>
void TimeRespawns(benchmark::State& state, Births& births, Replace replace) {
  uint32_t count = 1;
  births.Await(count);
  for (auto _ : state) {
    const int64_t death = NowNanoseconds();
    replace();
    state.SetIterationTime(static_cast<double>(births.Await(++count) - death) * 1e-9);
    // Outside of the time: a spare's successor comes to its sleep meanwhile, for all contenders alike.
    ::usleep(5000);
  }
}

void RawRespawn(benchmark::State& state) {
  const Ballast ballast(state.range(0));
  Births births;
  const auto start = [&births] {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    births.Tell();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    PauseForEver();
  };
  pid_t pid = start();
  const auto end = [&] {
    ::kill(pid, SIGKILL);
    Check(state, ::waitpid(pid, nullptr, 0) == pid);
  };
  TimeRespawns(state, births, [&] {
    end();
    pid = start();
  });
  end();
}

ko::RestartPolicy RestartAtOnce() {
  return {.when = ko::RestartPolicy::When::kAlways,
          .initial_delay = absl::ZeroDuration(),
          .max_delay = absl::ZeroDuration(),
          .jitter = 0,
          .max_restarts = ko::RestartPolicy::kUnlimited};
}

void ManagerRespawn(benchmark::State& state, const ko::RestartPolicy& policy) {
  const Ballast ballast(state.range(0));
  Births births;
  ko::ProcessManager manager;
  ko::Process process = manager.Spawn(
      [&births] {
        births.Tell();
        PauseForEver();
      },
      policy);
  TimeRespawns(state, births, [&] {
    const int restarts = process.restarts();
    Check(state, ::kill(process.pid(), SIGKILL) == 0);
    while (process.restarts() == restarts) Check(state, manager.Dispatch(absl::InfiniteDuration()).ok());
  });
}

// --- ExitHandling -----------------------------------------------------------------------------------------------------

void AwaitZombie(pid_t pid) {
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
}

// Children that do nothing.
class ManagerCrowd {
 public:
  ~ManagerCrowd() { manager_.Shutdown({.signal = SIGKILL}).IgnoreError(); }

  pid_t Start() {
    ko::Process process = manager_.Fork([] { PauseForEver(); });
    process.OnExit([this](const ko::ExitStatus&) { ++exits_; });
    return process.pid();
  }
  void HandleExit() {
    const int before = exits_;
    while (exits_ == before && manager_.Dispatch(absl::InfiniteDuration()).ok()) {
    }
  }

 private:
  int exits_ = 0;
  ko::ProcessManager manager_;
};

// The same by pidfds and epoll, with nothing around them.
class RawCrowd {
 public:
  RawCrowd() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
  ~RawCrowd() {
    for (const auto& [pid, pidfd] : children_) ::kill(pid, SIGKILL);
    for (const auto& [pid, pidfd] : children_) ::waitpid(pid, nullptr, 0);
  }

  pid_t Start() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      PauseForEver();
    }
    ko::os::UniqueFd& pidfd = children_[pid];
    pidfd = ko::os::OpenPidfd(pid);
    epoll_event event = {.events = EPOLLIN, .data = {.fd = pid}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &event);
    return pid;
  }
  void HandleExit() {
    epoll_event event;
    ::epoll_wait(epoll_.get(), &event, 1, -1);
    ::waitpid(event.data.fd, nullptr, 0);
    const auto child = children_.find(event.data.fd);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, child->second.get(), nullptr);
    children_.erase(child);
  }

 private:
  const ko::os::UniqueFd epoll_;
  absl::flat_hash_map<pid_t, ko::os::UniqueFd> children_;
};

enum class Age { kYoung, kOld };

// The median of many. Those that end were started last, or among the others, at even distances. Nothing is forked between their
// ends: after a fork all of the caller's memory is slow for a while, which is the fork's price and no part of this.
template <class Crowd, Age age>
void HandleExits(benchmark::State& state) {
  constexpr int64_t kExits = 100;
  for (auto _ : state) {
    Crowd crowd;
    std::vector<pid_t> doomed;
    const int64_t all = state.range(0) + kExits;
    for (int64_t started = 0; started < all; ++started) {
      const pid_t pid = crowd.Start();
      Check(state, pid > 0);
      const bool is_doomed = age == Age::kYoung
                                 ? started >= state.range(0)
                                 : started * kExits / all == static_cast<int64_t>(doomed.size());
      if (is_doomed) doomed.push_back(pid);
    }
    std::vector<int64_t> took;
    for (const pid_t pid : doomed) {
      Check(state, ::kill(pid, SIGKILL) == 0);
      AwaitZombie(pid);
      const int64_t begin = NowNanoseconds();
      crowd.HandleExit();
      took.push_back(NowNanoseconds() - begin);
    }
    std::nth_element(took.begin(), took.begin() + kExits / 2, took.end());
    state.SetIterationTime(static_cast<double>(took[kExits / 2]) * 1e-9);
  }
}

// --- IdleWakeups ------------------------------------------------------------------------------------------------------

int64_t VoluntarySwitches(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  int64_t switches = -1;
  for (std::string line; std::getline(file, line);) {
    std::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "voluntary_ctxt_switches:") && absl::SimpleAtoi(rest, &switches)) break;
  }
  return switches;
}

void IdleWakeups(benchmark::State& state) {
  constexpr int kSeconds = 2;
  int64_t wakeups = 0;
  for (auto _ : state) {
    Births settled;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ko::ProcessManager manager;
      for (int64_t i = 0; i < state.range(0); ++i) manager.Fork([] { PauseForEver(); });
      manager.Dispatch().IgnoreError();
      settled.Tell();
      ::_exit(manager.Wait().ok() ? 0 : 1);
    }
    settled.Await(1);
    ::sleep(1);
    const int64_t before = VoluntarySwitches(pid);
    ::sleep(kSeconds);
    wakeups = VoluntarySwitches(pid) - before;
    Check(state, before > 0 && wakeups >= 0);
    state.SetIterationTime(kSeconds);
    ::kill(pid, SIGTERM);
    int status = 1;
    Check(state, ::waitpid(pid, &status, 0) == pid && status == 0);
  }
  state.counters["wakeups"] = static_cast<double>(wakeups);
}

// ----------------------------------------------------------------------------------------------------------------------

template <class Run>
benchmark::internal::Benchmark* Register(const char* name, Run run) {
  return benchmark::RegisterBenchmark(name, run)->Unit(benchmark::kMicrosecond);
}

void RegisterAll() {
  const auto by_memory = [](benchmark::internal::Benchmark* benchmark) {
    return benchmark->ArgName("rss_mb")->Arg(0)->Arg(1024);
  };
  by_memory(Register("ForkWait/raw_fork", RawFork))->UseRealTime();
  by_memory(Register("ForkWait/ko_manager", ManagerFork))->UseRealTime();
  by_memory(Register("Respawn/raw_loop", RawRespawn))->UseManualTime();
  by_memory(Register("Respawn/ko", [](benchmark::State& state) {
    ManagerRespawn(state, RestartAtOnce());
  }))->UseManualTime();
  by_memory(Register("Respawn/ko_hot_spare", [](benchmark::State& state) {
    ko::RestartPolicy policy = RestartAtOnce();
    policy.hot_spare = true;
    ManagerRespawn(state, policy);
  }))->UseManualTime();

  const auto by_crowd = [](benchmark::internal::Benchmark* benchmark) {
    return benchmark->ArgName("live")->Arg(1)->Arg(100)->Arg(1000)->Arg(10'000)->Iterations(1);
  };
  by_crowd(Register("ExitHandling/raw_epoll", HandleExits<RawCrowd, Age::kYoung>))->UseManualTime();
  by_crowd(Register("ExitHandling/ko", HandleExits<ManagerCrowd, Age::kYoung>))->UseManualTime();
  by_crowd(Register("ExitHandlingOld/raw_epoll", HandleExits<RawCrowd, Age::kOld>))->UseManualTime();
  by_crowd(Register("ExitHandlingOld/ko", HandleExits<ManagerCrowd, Age::kOld>))->UseManualTime();
  Register("IdleWakeups/ko", IdleWakeups)
      ->ArgName("children")
      ->Arg(10)
      ->Arg(1000)
      ->Iterations(1)
      ->UseManualTime();
}

}  // namespace

int main(int argc, char** argv) {
  RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
