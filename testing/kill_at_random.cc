#include "ko/testing/kill_at_random.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::testing {
namespace {

// What the children tell the test.
struct Progress {
  std::atomic<uint64_t> turns;
  std::atomic<uint32_t> bell;     // counts like `turns`, for the futex
  std::atomic<uint32_t> awaited;  // the test sleeps on the bell
};

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

class Driver {
 public:
  Driver(const std::vector<RandomVictim>& victims, const RandomKillOptions& options)
      : victims_(victims), options_(options), pids_(victims.size()) {
    absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(sizeof(Progress));
    if (!memory.ok()) Die("KillAtRandom: memory");
    memory_ = *std::move(memory);
    report_.seed = options.seed != 0 ? options.seed : std::random_device()();
    random_.seed(report_.seed);
  }

  ~Driver() {
    for (const pid_t pid : pids_) {
      if (pid > 0) End(pid);
    }
  }

  RandomKillReport Run() {
    std::printf("KillAtRandom: seed %llu\n", static_cast<unsigned long long>(report_.seed));
    std::fflush(nullptr);
    for (size_t i = 0; i < pids_.size(); ++i) Start(i);
    while (report_.kills < options_.kills && report_.failure.empty()) {
      Pause();
      Kill();
      if (report_.failure.empty()) AwaitProgress();
    }
    for (pid_t& pid : pids_) ExpectKilled(std::exchange(pid, 0));
    report_.turns = progress().turns;
    if (!report_.failure.empty()) {
      ADD_FAILURE() << "KillAtRandom, seed " << report_.seed << ", after " << report_.kills << " kills and "
                    << report_.turns << " turns: " << report_.failure;
    }
    return report_;
  }

 private:
  Progress& progress() const { return *static_cast<Progress*>(memory_.data()); }
  bool OneOf(int count) { return count > 0 && random_() % count == 0; }

  void Start(size_t index) {
    const uint64_t seed = random_();
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) Die("KillAtRandom: fork");
    if (pid != 0) {
      pids_[index] = pid;
      return;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    std::mt19937_64 seeds(seed);
    while (victims_[index].turn(seeds())) {
      ++progress().turns;
      ++progress().bell;
      // Sequentially consistent, as is the test's store before it looks at the bell again: one sees the other.
      if (progress().awaited != 0) {
        ::syscall(SYS_futex, &progress().bell, FUTEX_WAKE, 1, nullptr, nullptr, 0);
      }
    }
    std::fflush(nullptr);
    ::_exit(1);
  }

  // The one delay that is meant: when the kill strikes is left to chance.
  void Pause() {
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(options_.longest_pause);
    if (nanoseconds <= 0) return;
    const timespec pause = absl::ToTimespec(absl::Nanoseconds(random_() % nanoseconds));
    ::nanosleep(&pause, nullptr);
  }

  void Kill() {
    std::vector<size_t> chosen = {random_() % pids_.size()};
    if (OneOf(options_.together_every)) {
      for (int i = 0; i < 2; ++i) chosen.push_back(random_() % pids_.size());
    }
    if (OneOf(options_.stop_every)) {
      ::kill(pids_[chosen[0]], SIGSTOP);
      Pause();
      ::kill(pids_[chosen[0]], SIGCONT);
    }
    for (const size_t index : chosen) ::kill(pids_[index], SIGKILL);
    for (const size_t index : chosen) {
      ExpectKilled(std::exchange(pids_[index], 0));
      ++report_.kills;
      Start(index);
    }
  }

  int End(pid_t pid) {
    ::kill(pid, SIGKILL);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  void ExpectKilled(pid_t pid) {
    const int status = End(pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
    absl::StrAppend(&report_.failure, "a process ended by itself, with ",
                    WIFEXITED(status) ? absl::StrCat("exit code ", WEXITSTATUS(status))
                                      : absl::StrCat("signal ", WTERMSIG(status)),
                    "\n");
  }

  // Until a turn has ended since the kill.
  void AwaitProgress() {
    const uint64_t before = progress().turns;
    const os::Deadline deadline = os::Deadline::After(options_.limit);
    progress().awaited = 1;
    while (progress().turns == before) {
      if (deadline.expired()) {
        report_.failure =
            absl::StrCat("nothing has gone on for ", absl::FormatDuration(options_.limit), "\n", Describe());
        break;
      }
      const uint32_t bell = progress().bell;
      if (progress().turns != before) break;
      timespec storage;
      ::syscall(SYS_futex, &progress().bell, FUTEX_WAIT, bell, deadline.RemainingTimespec(storage), nullptr,
                0);
    }
    progress().awaited = 0;
  }

  std::string Describe() const {
    std::string text;
    for (size_t i = 0; i < pids_.size(); ++i) {
      const std::string folder = absl::StrCat("/proc/", pids_[i]);
      const std::optional<ProcessState> state = ReadProcessState(pids_[i]);
      absl::StrAppend(&text, "  ", victims_[i].name, ": process ", pids_[i], ", state ",
                      state.has_value() ? std::string(1, state->letter) : "gone", ", in ",
                      ReadFile(folder + "/wchan"), ", system call ", ReadFile(folder + "/syscall"));
      if (const std::string stack = ReadFile(folder + "/stack"); !stack.empty())
        absl::StrAppend(&text, stack);
    }
    return text;
  }

  const std::vector<RandomVictim>& victims_;
  const RandomKillOptions& options_;
  std::vector<pid_t> pids_;
  os::SharedMapping memory_;
  std::mt19937_64 random_;
  RandomKillReport report_;
};

}  // namespace

RandomKillReport KillAtRandom(const std::vector<RandomVictim>& victims, const RandomKillOptions& options,
                              absl::FunctionRef<void()> check) {
  RandomKillReport report = Driver(victims, options).Run();
  if (report.failure.empty()) check();
  return report;
}

}  // namespace ko::testing
