// A word to another process and its answer. With idle_us:0 both are busy with nothing else; else both have been asleep for
// that many microseconds before each.

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "benchmark/benchmark.h"
#include "ko/benchmarks/beside.h"
#include "ko/benchmarks/raw_futex.h"
#include "ko/benchmarks/shared_object.h"
#include "ko/ko.h"
#include "ko/os/unique_fd.h"

namespace {

using ko::benchmarks::Beside;
using ko::benchmarks::SharedObject;

// One direction each.

class Ko {
 public:
  void Post() { channel_.Send(1).IgnoreError(); }
  void Await() { channel_.Receive().IgnoreError(); }

 private:
  ko::Channel<uint64_t> channel_ = *ko::Channel<uint64_t>::Create();
};

class Futex {
 public:
  void Post() {
    word_->store(1, std::memory_order_release);  // pairs with Await
    ko::benchmarks::FutexWakeOne(*word_);
  }
  void Await() {
    while (word_->exchange(0, std::memory_order_acquire) == 0) ko::benchmarks::FutexSleep(*word_, 0);
  }

 private:
  SharedObject<std::atomic<uint32_t>> word_;
};

class Fd {
 public:
  Fd(int read_fd, int write_fd, size_t bytes) : read_(read_fd), write_(write_fd), bytes_(bytes) {}
  void Post() {
    const uint64_t one = 1;
    if (::write(write_.get(), &one, bytes_) < 0) std::abort();
  }
  void Await() {
    uint64_t word;
    if (::read(read_.get(), &word, bytes_) < 0) std::abort();
  }

 private:
  ko::os::UniqueFd read_, write_;
  size_t bytes_;
};

class Pipe : public Fd {
 public:
  Pipe() : Pipe(Open()) {}

 private:
  struct Ends {
    int fds[2];
  };
  static Ends Open() {
    Ends ends = {};
    if (::pipe(ends.fds) != 0) std::abort();
    return ends;
  }
  explicit Pipe(Ends ends) : Fd(ends.fds[0], ends.fds[1], 1) {}
};

class EventFd : public Fd {
 public:
  EventFd() : EventFd(::eventfd(0, EFD_CLOEXEC)) {}

 private:
  explicit EventFd(int fd) : Fd(fd, ::dup(fd), 8) {}
};

template <class Contender>
void RoundTrip(benchmark::State& state) {
  Contender there, back;
  const Beside other([&] {
    there.Await();
    back.Post();
  });
  const absl::Duration idle = absl::Microseconds(state.range(0));
  for (auto _ : state) {
    if (idle > absl::ZeroDuration()) absl::SleepFor(idle);
    const auto start = std::chrono::steady_clock::now();
    there.Post();
    back.Await();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(time.count());
  }
}

template <class Contender>
void Register(const char* name) {
  benchmark::RegisterBenchmark(absl::StrCat("RoundTrip/", name).c_str(), &RoundTrip<Contender>)
      ->ArgName("idle_us")
      ->Arg(0)
      ->Arg(200)
      ->UseManualTime();
}

const bool registered = [] {
  Register<Ko>("ko");
  Register<Futex>("futex");
  Register<Pipe>("pipe");
  Register<EventFd>("eventfd");
  return true;
}();

}  // namespace
