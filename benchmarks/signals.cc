// Signals as events: one sent by the process to itself until its handler has run (SignalDelivery), and a look with nothing
// there (SignalIdle).
//
// signalfd and self_pipe are the two usual ways by hand: the first reads what the kernel keeps, the second writes a byte in
// the handler and reads it in the loop.

#include <fcntl.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "ko/ko.h"
#include "ko/os/unique_fd.h"

namespace {

constexpr int kSignal = SIGUSR1;

// Each runs what has come, and tells how many.

class Ko {
 public:
  Ko() {
    signals_.On(kSignal, [this](const ko::SignalInfo&) { ++count_; }).IgnoreError();
  }
  int Dispatch() {
    const int before = count_;
    signals_.Dispatch().IgnoreError();
    return count_ - before;
  }

 private:
  ko::SignalDispatcher signals_ = *ko::SignalDispatcher::Create();
  int count_ = 0;
};

class Signalfd {
 public:
  Signalfd() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, kSignal);
    ::pthread_sigmask(SIG_BLOCK, &set, &previous_);
    fd_.reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  }
  ~Signalfd() { ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  int Dispatch() {
    signalfd_siginfo info;
    int count = 0;
    while (::read(fd_.get(), &info, sizeof(info)) == sizeof(info)) ++count;
    return count;
  }

 private:
  sigset_t previous_;
  ko::os::UniqueFd fd_;
};

class SelfPipe {
 public:
  SelfPipe() {
    int fds[2];
    if (::pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) std::abort();
    read_.reset(fds[0]);
    write_.reset(fds[1]);
    write_fd = fds[1];
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const int saved_errno = errno;
      [[maybe_unused]] const ssize_t written = ::write(write_fd, "", 1);
      errno = saved_errno;
    };
    ::sigaction(kSignal, &action, &previous_);
  }
  ~SelfPipe() { ::sigaction(kSignal, &previous_, nullptr); }
  int Dispatch() {
    char byte;
    int count = 0;
    while (::read(read_.get(), &byte, 1) == 1) ++count;
    return count;
  }

 private:
  static inline int write_fd = -1;
  ko::os::UniqueFd read_, write_;
  struct sigaction previous_;
};

template <class Contender>
void SignalDelivery(benchmark::State& state) {
  Contender signals;
  for (auto _ : state) {
    ::raise(kSignal);
    if (signals.Dispatch() != 1) state.SkipWithError("the signal has not come");
  }
}

template <class Contender>
void SignalIdle(benchmark::State& state) {
  Contender signals;
  for (auto _ : state) {
    if (signals.Dispatch() != 0) state.SkipWithError("a signal that nobody has sent");
  }
}

template <class Contender>
void Register(const char* name) {
  benchmark::RegisterBenchmark(absl::StrCat("SignalDelivery/", name).c_str(), &SignalDelivery<Contender>);
  benchmark::RegisterBenchmark(absl::StrCat("SignalIdle/", name).c_str(), &SignalIdle<Contender>);
}

const bool registered = [] {
  Register<Ko>("ko");
  Register<Signalfd>("signalfd");
  Register<SelfPipe>("self_pipe");
  return true;
}();

}  // namespace
