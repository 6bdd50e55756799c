#include "ko/testing/tracee.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/os/deadline.h"
#include "ko/testing/process_state.h"

#if !defined(__x86_64__)
#error "ko/testing/tracee.h knows the breakpoints and the instructions of x86-64 only"
#endif

namespace ko::testing {
namespace {

// What a mark in the child says to its tracer, in a register.
enum MarkKind : long { kBeginMark = 1, kStartMark = 2, kEndMark = 3 };

[[gnu::noinline]] void Mark(long kind) { asm volatile("int3" : : "a"(kind) : "memory"); }

bool in_operation = false;  // this process is a tracee

constexpr size_t kRip = offsetof(user, regs.rip);
constexpr size_t kRax = offsetof(user, regs.rax);
constexpr size_t kBreakpointAddress = offsetof(user, u_debugreg[0]);
constexpr size_t kBreakpointControl = offsetof(user, u_debugreg[7]);

[[gnu::noinline]] void Target() { asm volatile("nop" : : : "memory"); }

// Whether a child stops at a debug register's address. Some virtual machines take such addresses and never stop there.
bool TryDebugRegister() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::ptrace(PTRACE_TRACEME);
    ::raise(SIGSTOP);
    Target();
    ::_exit(0);
  }
  if (pid < 0) return false;
  int status = 0;
  bool stops =
      ::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) &&
      ::ptrace(PTRACE_POKEUSER, pid, kBreakpointAddress, reinterpret_cast<uintptr_t>(&Target)) == 0 &&
      ::ptrace(PTRACE_POKEUSER, pid, kBreakpointControl, 1L) == 0 && ::ptrace(PTRACE_CONT, pid, 0, 0) == 0 &&
      ::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
  if (!WIFEXITED(status) && !WIFSIGNALED(status)) {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
    }
  }
  return stops;
}

bool DebugRegistersWork() {
  static const bool work = TryDebugRegister();
  return work;
}

bool StopsProcess(int signo) {
  return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

}  // namespace

// Both processes stay on one processor meanwhile: handing over between two takes several times as long.
Tracee::Tracee(absl::FunctionRef<void()> operation, absl::FunctionRef<void()> wake, bool can_wake,
               absl::Duration limit, Instructions& instructions)
    : wake_(wake), can_wake_(can_wake), limit_(limit), instructions_(instructions) {
  ::sched_getaffinity(0, sizeof processors_, &processors_);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) Live(operation, parent);
  if (pid_ < 0) {
    Broken(absl::StrCat("fork: ", std::strerror(errno)));
    return;
  }
  if (Await(true) != Wait::kStopped || !trapped_) {
    Broken("the child could not be traced (another debugger, or ptrace is forbidden)");
    return;
  }
  ::ptrace(PTRACE_SETOPTIONS, pid_, 0,
           PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE);
  rip_ = Register(kRip);
  where_ = Where::kInside;
}

Tracee::~Tracee() { Kill(); }

void Tracee::Live(absl::FunctionRef<void()> operation, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent || ::ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) ::_exit(1);
  in_operation = true;
  operation();
  ::_exit(1);
}

void Tracee::Begin() { Mark(kBeginMark); }

void Tracee::StartAnew() {
  if (in_operation) Mark(kStartMark);
}

void Tracee::End() { Mark(kEndMark); }

uint64_t Tracee::Register(size_t offset) const {
  return static_cast<uint64_t>(::ptrace(PTRACE_PEEKUSER, pid_, offset, 0));
}

Tracee::Instruction Tracee::InstructionAt(uint64_t address) const {
  if (const auto known = instructions_.find(address); known != instructions_.end()) return known->second;
  std::array<unsigned char, 16> code = {};
  for (size_t i = 0; i < code.size(); i += sizeof(long)) {
    const long word = ::ptrace(PTRACE_PEEKTEXT, pid_, address + i, 0);
    std::memcpy(&code[i], &word, sizeof word);
  }
  Instruction instruction;
  bool repeats = false;
  int at = 0;
  for (; at < 14; ++at) {
    const unsigned char byte = code[at];
    if (byte == 0xf2 || byte == 0xf3) {
      repeats = true;
    } else if (byte != 0x66 && byte != 0x67 &&
               (byte & 0xf0) != 0x40) {  // sizes of operands and addresses, REX
      break;
    }
  }
  const unsigned char opcode = code[at];
  const bool is_string = (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf);
  if (repeats && is_string) instruction.repeated_bytes = at + 1;
  instruction.system_call = (opcode == 0x0f && (code[at + 1] == 0x05 || code[at + 1] == 0x34)) ||
                            (opcode == 0xcd && code[at + 1] == 0x80);
  instruction.mark = opcode == 0xcc;
  instructions_[address] = instruction;
  return instruction;
}

void Tracee::Resume(int request) {
  ++stops_;
  ::ptrace(static_cast<__ptrace_request>(request), pid_, 0, std::exchange(signal_, 0));
}

Tracee::Wait Tracee::TakeStop(int status) {
  if (WIFEXITED(status)) {
    pid_ = 0;
    return Wait::kGone;
  }
  if (WIFSIGNALED(status)) {
    pid_ = 0;
    Broken(absl::StrCat("the operation was ended by signal ", WTERMSIG(status)));
    return Wait::kBroken;
  }
  if (status >> 16 != 0) {
    unsigned long born = 0;
    ::ptrace(PTRACE_GETEVENTMSG, pid_, 0, &born);
    born_ = static_cast<pid_t>(born);
    Broken("the operation forks or starts a thread, which is not supported");
    return Wait::kBroken;
  }
  trapped_ = WSTOPSIG(status) == SIGTRAP;
  signal_ = trapped_ || StopsProcess(WSTOPSIG(status)) ? 0 : WSTOPSIG(status);
  return Wait::kStopped;
}

// A sleep counts once, however often it is looked at.
bool Tracee::SleepsAnew() {
  const std::optional<ProcessState> state = ReadProcessState(pid_);
  if (!state.has_value() || state->letter != 'S') return false;
  std::string switches = StatusLine(pid_, "voluntary_ctxt_switches");
  if (switches == last_sleep_) return false;
  last_sleep_ = std::move(switches);
  return true;
}

Tracee::Wait Tracee::Await(bool may_sleep) {
  int status;
  const os::Deadline deadline =
      may_sleep ? os::Deadline::After(limit_) : os::Deadline::At(absl::ZeroDuration());
  for (int64_t turn = 0;; ++turn) {
    const pid_t stopped = ::waitpid(pid_, &status, __WALL | (may_sleep ? WNOHANG : 0));
    if (stopped == pid_) return TakeStop(status);
    if (stopped < 0 && errno != EINTR) {
      Broken(absl::StrCat("waitpid: ", std::strerror(errno)));
      return Wait::kBroken;
    }
    if (!may_sleep) continue;
    // No event tells that a process has fallen asleep, so its state is looked at, but only where it may be.
    if (turn > 20 && turn % 4 == 0 && SleepsAnew()) return Wait::kSleeps;
    if (turn % 256 == 255 && deadline.expired()) {
      Broken(absl::StrCat("the operation has not gone on for ", absl::FormatDuration(limit_),
                          where_ == Where::kAsleep ? "; it sleeps, and was not woken" : ""));
      return Wait::kBroken;
    }
    ::sched_yield();
  }
}

Tracee::Where Tracee::Broken(std::string error) {
  if (error_.empty()) error_ = std::move(error);
  return where_ = Where::kBroken;
}

Tracee::Where Tracee::Step() {
  bool may_sleep = true;
  Wait wait;
  if (where_ == Where::kAsleep) {
    do {
      if (can_wake_) wake_();
      wait = Await(true);
    } while (wait == Wait::kSleeps);
  } else {
    may_sleep = at_rip().system_call;
    Resume(PTRACE_SINGLESTEP);
    wait = Await(may_sleep);
  }
  while (wait == Wait::kStopped && !trapped_) {  // by a signal, whose handler is next
    Resume(PTRACE_SINGLESTEP);
    wait = Await(may_sleep);
  }
  switch (wait) {
    case Wait::kBroken:
      return where_;
    case Wait::kGone:
      return where_ = Where::kExited;
    case Wait::kSleeps:
      return where_ = Where::kAsleep;
    case Wait::kStopped:
      break;
  }
  rip_ = Register(kRip);
  where_ = Where::kInside;
  if (at_rip().mark) {
    if (Register(kRax) == kEndMark) return where_ = Where::kReturned;
    Step();
    if (where_ == Where::kInside) where_ = Where::kStart;
  }
  return where_;
}

Tracee::Where Tracee::Continue(Sleep sleep) {
  Resume(PTRACE_CONT);
  while (true) {
    switch (Await(true)) {
      case Wait::kBroken:
        return where_;
      case Wait::kGone:
        return where_ = Where::kExited;
      case Wait::kSleeps:
        if (sleep == Sleep::kPassed) continue;
        if (!can_wake_) return where_ = Where::kAsleep;
        wake_();
        continue;
      case Wait::kStopped:
        break;
    }
    if (trapped_) break;
    Resume(PTRACE_CONT);
  }
  rip_ = Register(kRip);
  where_ = Where::kInside;
  if (int3_ && rip_ == breakpoint_ + 1) {
    rip_ = breakpoint_;
    ::ptrace(PTRACE_POKEUSER, pid_, kRip, rip_);
  } else if (rip_ != breakpoint_ && InstructionAt(rip_ - 1).mark) {
    where_ = Register(kRax) == kStartMark ? Where::kStart : Where::kReturned;
  }
  return where_;
}

Tracee::Where Tracee::ContinueTo(uint64_t address, int64_t times) {
  if (!DebugRegistersWork()) return ContinueToInt3(address, times);
  ::ptrace(PTRACE_POKEUSER, pid_, kBreakpointAddress, address);
  if (::ptrace(PTRACE_POKEUSER, pid_, kBreakpointControl, 1L) != 0) return where_;  // steps will do
  breakpoint_ = address;
  while (times > 0 && Continue(Sleep::kStops) == Where::kInside && rip_ == address) --times;
  breakpoint_ = 0;
  if (where_ == Where::kInside) ::ptrace(PTRACE_POKEUSER, pid_, kBreakpointControl, 0L);
  return where_;
}

// By an instruction that traps in the place of that one, which is put back for the step over it.
Tracee::Where Tracee::ContinueToInt3(uint64_t address, int64_t times) {
  errno = 0;
  const long code = ::ptrace(PTRACE_PEEKTEXT, pid_, address, 0);
  if (errno != 0) return where_;  // steps will do
  const long trap = (code & ~0xffL) | 0xcc;
  if (rip_ == address) --times;
  while (times > 0) {
    if (rip_ == address && Step() != Where::kInside) {
      while (where_ == Where::kAsleep && can_wake_) Step();
      if (where_ != Where::kInside) return where_;
    }
    if (rip_ != address) {
      if (::ptrace(PTRACE_POKETEXT, pid_, address, trap) != 0) return where_;
      breakpoint_ = address;
      int3_ = true;
      Continue(Sleep::kStops);
      int3_ = false;
      breakpoint_ = 0;
      if (where_ != Where::kExited && where_ != Where::kBroken)
        ::ptrace(PTRACE_POKETEXT, pid_, address, code);
    }
    if (where_ != Where::kInside || rip_ != address) return where_;
    --times;
  }
  return where_;
}

void Tracee::Kill() {
  int status;
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    // It may have been about to stop.
    while (::waitpid(pid_, &status, __WALL) == pid_ && WIFSTOPPED(status)) {
    }
    pid_ = 0;
  }
  if (born_ > 0) {
    ::kill(born_, SIGKILL);
    while (::waitpid(born_, &status, __WALL) == born_) {  // as its tracer, and as its parent by adoption
    }
    born_ = 0;
  }
  ::sched_setaffinity(0, sizeof processors_, &processors_);
}

}  // namespace ko::testing
