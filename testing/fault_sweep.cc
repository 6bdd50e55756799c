#include "ko/testing/fault_sweep.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/pidfd.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/seccomp_filter.h"
#include "ko/testing/syscall_errors.h"

namespace ko::testing {
namespace {

constexpr int kMaxCalls = 4096;  // of one operation
constexpr absl::Duration kOrphansLimit = absl::Seconds(20);

// A system call of the operation: the occurrence-th, from 0, of this number by the process-th of its processes.
struct Call {
  int process;
  int number;
  int occurrence;
  uint64_t arguments[6];
  enum class On { kFile, kPipe, kOther };
  On on;  // what the first argument is a descriptor of: kPipe is a socket, too

  bool IsAtThePlaceOf(const Call& other) const {
    return process == other.process && number == other.number && occurrence == other.occurrence;
  }
};

// Where a link of /proc leads; empty where there is none.
std::string LinkOf(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
}

Call::On OnWhat(const std::string& link) {
  if (link.starts_with('/')) return Call::On::kFile;
  return link.starts_with("pipe:") || link.starts_with("socket:") ? Call::On::kPipe : Call::On::kOther;
}

// Only a disk has a disk's errors, and only what has another end can lose it.
bool CanMeet(const Call& call, int error_number) {
  if (call.number != SYS_read && call.number != SYS_write) return true;
  if (error_number == EIO || error_number == ENOSPC) return call.on == Call::On::kFile;
  return error_number != EPIPE || call.on == Call::On::kPipe;
}

}  // namespace

// Shared by the test, the round's process and the one that answers.
struct FaultRound::Control {
  std::atomic<pid_t> subject = 0;
  std::atomic<int> listener = -1;  // the descriptor's number in the subject
  std::atomic<bool> armed = false;
  Call fault = {};
  int error_number = 0;  // of the fault; 0: none
  std::atomic<bool> met = false;
  std::atomic<int> call_count = 0;
  Call calls[kMaxCalls];
};

namespace {

// The process that the kernel asks about each call.
class Answerer {
 public:
  explicit Answerer(FaultRound::Control& control) : control_(control) {}

  [[noreturn]] void Run(pid_t test) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != test) ::_exit(1);
    while (control_.listener.load() < 0) ::usleep(100);
    const os::UniqueFd subject = os::OpenPidfd(control_.subject.load());
    listener_ = static_cast<int>(::syscall(SYS_pidfd_getfd, subject.get(), control_.listener.load(), 0));
    if (listener_ < 0) {
      std::perror("SweepFaults: pidfd_getfd");
      ::_exit(1);
    }
    pollfd waiting = {listener_, POLLIN, 0};
    while (::poll(&waiting, 1, -1) >= 0) {
      if ((waiting.revents & POLLIN) == 0) ::_exit(0);  // all that the filter holds for have ended
      Answer();
    }
    ::_exit(1);
  }

 private:
  void Answer() {
    seccomp_notif asked = {};
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
      return;  // it was interrupted, or has ended
    seccomp_notif_resp answer = {};
    answer.id = asked.id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    const bool counts = control_.armed.load() && !SyscallErrors(asked.data.nr, Arguments(asked)).empty() &&
                        IsOfThisProgram(asked.pid);
    if (counts) {
      const Call call = CallOf(asked);
      if (control_.error_number != 0 && !control_.met.load() && call.IsAtThePlaceOf(control_.fault)) {
        answer.flags = 0;
        answer.error = -control_.error_number;
        control_.met.store(true);
      }
      Note(call);
    }
    ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }

  using ArgumentArray = uint64_t[6];
  static const ArgumentArray& Arguments(const seccomp_notif& asked) {
    return reinterpret_cast<const ArgumentArray&>(asked.data.args);
  }

  // What the operation executes has faults of its own.
  bool IsOfThisProgram(uint32_t pid) const { return LinkOf(absl::StrCat("/proc/", pid, "/exe")) == program_; }

  Call CallOf(const seccomp_notif& asked) {
    const auto [place, is_new] = processes_.emplace(asked.pid, static_cast<int>(processes_.size()));
    Call call = {
        place->second, asked.data.nr, occurrences_[{place->second, asked.data.nr}]++, {}, Call::On::kOther};
    std::ranges::copy(Arguments(asked), call.arguments);
    call.on = OnWhat(LinkOf(absl::StrCat("/proc/", asked.pid, "/fd/", call.arguments[0])));
    return call;
  }

  void Note(const Call& call) {
    const int count = control_.call_count.load();
    if (count == kMaxCalls) return;
    control_.calls[count] = call;
    control_.call_count.store(count + 1);
  }

  FaultRound::Control& control_;
  const std::string program_ = LinkOf("/proc/self/exe");
  int listener_ = -1;
  std::map<uint32_t, int> processes_;
  std::map<std::pair<int, int>, int> occurrences_;
};

// Hands each call that can fail to the answerer from now on.
void AskAboutEachCall(FaultRound::Control& control) {
  std::vector<sock_filter> checks;
  for (const int number : FallibleSyscalls()) {
    checks.push_back(UnlessEqualSkip(static_cast<uint32_t>(number), 1));
    checks.push_back(Return(SECCOMP_RET_USER_NOTIF));
  }
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // pidfd_getfd asks for what ptrace would
  control.subject.store(::getpid());
  const int listener = InstallSeccompFilter(checks, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  control.listener.store(listener);
  struct stat status;
  ::fstatat(AT_FDCWD, ".", &status, 0);  // answered as soon as the answerer has the listener
  ::close(listener);
}

}  // namespace

void FaultRound::Try(absl::FunctionRef<absl::Status()> operation) {
  ASSERT_EQ(outcome_, "") << "Try: once in a round";
  AskAboutEachCall(control_);
  const ResourceSnapshot before = ResourceSnapshot::Take();
  control_.armed.store(true);
  const absl::Status status = operation();
  control_.armed.store(false);
  EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "") << "left by the operation: " << status;

  if (status.ok()) {
    outcome_ = "overcome";
  } else {
    outcome_ = "told";
    const bool met = control_.met.load();
    EXPECT_TRUE(met) << "failed without a fault: " << status;
    if (met) {
      const std::string name = absl::StrCat("[", ::strerrorname_np(control_.error_number), "]");
      EXPECT_TRUE(absl::StrContains(status.message(), name) || control_.fault.process != 0) << status;
    }
  }
  const absl::Status again = operation();
  EXPECT_TRUE(again.ok()) << "done again: " << again;
  EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "") << "left by the operation when done again";
}

class FaultSweep {
 public:
  explicit FaultSweep(absl::FunctionRef<void(FaultRound&)> round) : round_(round) {}

  FaultCount Run() {
    const std::string outcome = RunRound({}, 0);
    if (outcome != "overcome") {
      ADD_FAILURE() << "without a fault the operation " << outcome;
      return {};
    }
    EXPECT_LT(control_->call_count.load(), kMaxCalls) << "the rest of the calls is not tried";
    const std::vector<Call> calls(control_->calls, control_->calls + control_->call_count.load());
    FaultCount count;
    for (const Call& call : calls) {
      for (const int error_number : SyscallErrors(call.number, call.arguments)) {
        if (!CanMeet(call, error_number)) continue;
        SCOPED_TRACE(absl::StrCat("call ", call.occurrence, " of ", SyscallName(call.number), " by process ",
                                  call.process, " fails with ", ::strerrorname_np(error_number)));
        Add(RunRound(call, error_number), count);
      }
    }
    return count;
  }

 private:
  std::string RunRound(const Call& fault, int error_number) {
    new (control_) FaultRound::Control;
    control_->fault = fault;
    control_->error_number = error_number;
    const pid_t test = ::getpid();
    const pid_t answerer = ::fork();
    if (answerer < 0) {
      std::perror("SweepFaults: fork");
      std::abort();
    }
    if (answerer == 0) Answerer(*control_).Run(test);
    const InChildResult result = InChild([&] {
      FaultRound round(*control_);
      round_(round);
      return round.outcome_;
    });
    ReapOrphansBut(answerer);
    ::kill(answerer, SIGKILL);
    ::waitpid(answerer, nullptr, 0);
    EXPECT_TRUE(result.ok()) << result.err;
    return result.value;
  }

  // What the round's process leaves behind, those of a process of its own that a fault has ended say, has to end soon.
  static void ReapOrphansBut(pid_t answerer) {
    for (const pid_t pid : Children()) {
      if (pid == answerer) continue;
      const os::UniqueFd pidfd = os::OpenPidfd(pid);
      if (!os::AwaitEnd(pidfd.get(), os::Deadline::After(kOrphansLimit)).value_or(false)) {
        ADD_FAILURE() << "process " << pid << " goes on after the operation: "
                      << ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
        os::SendSignal(pidfd.get(), SIGKILL);
      }
      ::waitpid(pid, nullptr, 0);
    }
  }

  // A call that was not made in this round, for processes that go side by side, is not counted.
  void Add(const std::string& outcome, FaultCount& count) const {
    if (!control_->met.load()) return;
    ++count.injected;
    if (outcome == "told") ++count.told;
    if (outcome == "overcome") ++count.overcome;
  }

  absl::FunctionRef<void(FaultRound&)> round_;
  const os::SharedMapping memory_ = *os::SharedMapping::Create(sizeof(FaultRound::Control));
  FaultRound::Control* const control_ = static_cast<FaultRound::Control*>(memory_.data());
};

FaultCount SweepFaults(const std::string& name, absl::FunctionRef<void(FaultRound&)> round) {
  AdoptOrphans();
  const FaultCount count = FaultSweep(round).Run();
  std::printf("%s: %d faults, %d told, %d overcome\n", name.c_str(), count.injected, count.told,
              count.overcome);
  return count;
}

}  // namespace ko::testing
