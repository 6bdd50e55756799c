#ifndef KO_TESTING_KILL_AT_EVERY_INSTRUCTION_H_
#define KO_TESTING_KILL_AT_EVERY_INSTRUCTION_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "ko/testing/rounds.h"

namespace ko::testing {

// Where an operation was killed: before its instruction number `instruction`, from 0.
struct KillPoint {
  int64_t instruction = 0;
  int64_t instructions = 0;  // of the whole operation, in the run that was recorded
  bool completed = false;    // it had returned, or had ended its process
  bool asleep = false;       // inside the system call before that instruction
};

struct KillOptions {
  // An operation that has not returned after so many fails.
  int64_t max_instructions = 200'000;
  // Of each so many instructions one is tried. 0: each, or as many as `max_points` allows, and the environment variable
  // KO_KILL_POINTS where it is set.
  int64_t stride = 0;
  int64_t max_points = Rounds(5'000);
  // The first one that is tried. Below 0: another in each run (TEST_RUN_NUMBER, shards of several calls and
  // chance tell which), so that in the end all are. The report tells it.
  int64_t offset = -1;
  // After so many failed points the rest is not tried.
  int max_failures = 10;
  // Far above need: a check, or a stretch of the operation, that takes longer hangs.
  absl::Duration limit = absl::Seconds(20);
};

struct KillFailure {
  KillPoint point;
  std::string symbol;  // of the function whose instruction was next, as it is linked; "?" where unknown
  std::string text;    // all that is known, readable
};

// What was tried. Nothing is left out without standing here.
struct KillReport {
  int64_t instructions = 0;  // of the operation
  int64_t points = 0;        // kill points tried
  int64_t stride = 1;
  int64_t offset = 0;
  int64_t coalesced =
      0;  // runs of a repeated string instruction of which only the first iterations were tried
  int64_t diverged =
      0;              // points that the process did not reach on the recorded way, and that were stepped to
  int64_t stops = 0;  // how often the operation was stopped, in all
  bool completed = false;    // in the recorded run it returned, or ended its process
  bool left_asleep = false;  // it fell asleep for good; its last point lies in that sleep
  bool gave_up = false;      // max_failures was reached, or the operation could not be run
  std::vector<KillFailure> failures;

  bool ok() const { return failures.empty() && !gave_up; }
  std::string ToString() const;
};

// Not for direct use: KillAtEveryInstruction without the template.
struct KillScenario {
  absl::FunctionRef<void()> setup;
  absl::FunctionRef<void()> operation;
  absl::FunctionRef<void(const KillPoint&)> check;
  absl::FunctionRef<void()> teardown;
  absl::FunctionRef<void()> while_blocked;
  bool can_unblock;
};
KillReport RunKillAtEveryInstruction(const KillScenario& scenario, const KillOptions& options);

// For an operation that has to prepare something in its own process first: what it has done until this call
// is not part of what is tried. Does nothing outside of an operation.
void KillPointsStartHere();

// Proves that an operation on shared memory can be killed anywhere: for each instruction of `operation` a
// process of its own is killed (SIGKILL) right before it, and `check` tells whether the others can go on.
//
//   KillReport report = KillAtEveryInstruction(
//       [] { return std::make_unique<Counter>(); },
//       [](Counter& counter) { counter.Add(1); },
//       [](Counter& counter, const KillPoint& point) {
//         EXPECT_EQ(counter.Get(), point.completed ? 1 : counter.Get());
//         counter.Add(1);  // does not hang
//       });
//   EXPECT_TRUE(report.completed);
//
// For each kill point
// - `setup` runs in the test and returns the fixture, a value or a unique_ptr: fresh state, with all that
//   `operation` needs. A second process that takes part is forked here.
// - `operation` runs with it in a forked child, traced, up to the kill point. The child never leaves by
//   itself, so no exit handler runs and no leak is looked for.
// - `check` runs in another forked child, with the KillPoint if it takes one. Its gtest failures, its crash
//   and its hanging are failures of the kill point. It sees the fixture as `setup` left it, and what lies in
//   shared memory as the dead process left it.
// - `while_blocked`, where given, runs in the test when the operation sleeps in the kernel; it lets the
//   operation go on, so that the rest of it can be tried. Without one the operation's sleep is the last kill
//   point.
//
// One run is recorded by single steps; a kill point is reached by a hardware breakpoint on the way and single
// steps from there, and must be the recorded instruction. A process that went another way is replaced by one
// that is stepped all the way. Of a repeated string instruction (rep movsb) the first 16 iterations are tried.
// Failures are reported to gtest, non-fatal, with function and source line. For lines build with
// --copt=-g1 --strip=never and have addr2line.
//
// An operation must do the same in each run: no random numbers, no dependence on the time. Forks and threads
// inside an operation are not supported and fail. Stop signals do not stop it.
//
// Threads: none besides the caller may run in the test. Fork: plain fork(2). Signals: those of the operation
// are delivered to it. Crash: the children die with the test. Errors: what cannot be traced (another debugger,
// ptrace forbidden, a processor other than x86-64) fails the test.
template <class Setup, class Operation, class Check, class WhileBlocked = std::nullptr_t>
KillReport KillAtEveryInstruction(Setup setup, Operation operation, Check check, KillOptions options = {},
                                  WhileBlocked while_blocked = nullptr) {
  using Made = std::invoke_result_t<Setup&>;
  std::optional<Made> made;
  const auto fixture = [&made]() -> auto& {
    if constexpr (requires(Made& value) {
                    value.get();
                    *value;
                  }) {
      return **made;
    } else {
      return *made;
    }
  };
  using Fixture = decltype(fixture());
  const auto run_setup = [&] { made.emplace(setup()); };
  const auto run_operation = [&] { operation(fixture()); };
  const auto run_check = [&](const KillPoint& point) {
    if constexpr (std::invocable<Check&, Fixture, const KillPoint&>) {
      check(fixture(), point);
    } else {
      check(fixture());
    }
  };
  const auto run_teardown = [&] { made.reset(); };
  constexpr bool kCanUnblock = !std::is_same_v<WhileBlocked, std::nullptr_t>;
  const auto run_while_blocked = [&] {
    if constexpr (kCanUnblock) while_blocked(fixture());
  };
  return RunKillAtEveryInstruction(
      {run_setup, run_operation, run_check, run_teardown, run_while_blocked, kCanUnblock}, options);
}

}  // namespace ko::testing

#endif  // KO_TESTING_KILL_AT_EVERY_INSTRUCTION_H_
