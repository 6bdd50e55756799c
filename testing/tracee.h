#ifndef KO_TESTING_TRACEE_H_
#define KO_TESTING_TRACEE_H_

#include <sched.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace ko::testing {

// A forked child that runs an operation under ptrace, one instruction at a time or up to a breakpoint; killed
// and reaped by the destructor at the latest.
//
// Threads: the one that made it. Fork: one's own only. Signals: those sent to the child are delivered.
// Crash: the child dies with its tracer. Errors: Where::kBroken, with error().
class Tracee {
 public:
  enum class Where {
    kInside,    // stopped before the instruction at rip()
    kAsleep,    // inside a system call that sleeps
    kStart,     // at StartAnew
    kReturned,  // the operation has
    kExited,    // the process has, by itself
    kBroken,    // see error()
  };

  // What is known of an instruction by its address; the same in all children of this process.
  struct Instruction {
    bool system_call = false;
    bool mark = false;       // of this class's own
    int repeated_bytes = 0;  // its length where it is a repeated string instruction
  };
  using Instructions = std::unordered_map<uint64_t, Instruction>;

  // `wake` is called when the child sleeps in the kernel and is to go on.
  Tracee(absl::FunctionRef<void()> operation, absl::FunctionRef<void()> wake, bool can_wake,
         absl::Duration limit, Instructions& instructions);
  Tracee(const Tracee&) = delete;
  ~Tracee();

  // Called by the operation: what comes between Begin and End is traced. A second start is told as kStart.
  static void Begin();
  static void StartAnew();
  static void End();

  Where where() const { return where_; }
  uint64_t rip() const { return rip_; }
  const std::string& error() const { return error_; }
  int64_t stops() const { return stops_; }
  Instruction at_rip() const { return InstructionAt(rip_); }

  Where Step();
  // Goes on until the instruction has been reached `times`, or until anything else happens. Where it stands
  // there already, that counts. The address must not be within a repeated instruction.
  Where ContinueTo(uint64_t address, int64_t times);
  // Goes on to StartAnew or the end. What is done before StartAnew may sleep.
  Where ContinueToStart() { return Continue(Sleep::kPassed); }

  void Kill();

 private:
  enum class Sleep { kStops, kPassed };
  enum class Wait { kStopped, kSleeps, kGone, kBroken };
  // Goes on to StartAnew, a breakpoint, a sleep or the end.
  Where Continue(Sleep sleep);
  [[noreturn]] void Live(absl::FunctionRef<void()> operation, pid_t parent);
  void Resume(int request);
  Wait Await(bool may_sleep);
  Wait TakeStop(int status);
  Where ContinueToInt3(uint64_t address, int64_t times);
  Where Broken(std::string error);
  uint64_t Register(size_t offset) const;
  bool SleepsAnew();
  Instruction InstructionAt(uint64_t address) const;

  const absl::FunctionRef<void()> wake_;
  const bool can_wake_;
  const absl::Duration limit_;
  Instructions& instructions_;
  cpu_set_t processors_;  // of this process
  pid_t pid_ = 0;
  pid_t born_ = 0;  // a child of its own
  Where where_ = Where::kBroken;
  uint64_t rip_ = 0;
  uint64_t breakpoint_ = 0;
  bool int3_ = false;  // it is an instruction in the child, not a debug register
  int signal_ = 0;     // to be delivered when it goes on
  bool trapped_ = false;
  int64_t stops_ = 0;
  std::string last_sleep_;
  std::string error_;
};

}  // namespace ko::testing

#endif  // KO_TESTING_TRACEE_H_
