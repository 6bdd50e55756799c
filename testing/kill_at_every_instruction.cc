#include "ko/testing/kill_at_every_instruction.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"
#include "ko/os/pidfd.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/code_location.h"
#include "ko/testing/read_all.h"
#include "ko/testing/tracee.h"

namespace ko::testing {
namespace {

constexpr int kRepeatsTried = 16;

// How often a kill point is tried to be reached. What other processes do meanwhile may lead an operation another way now
// and then, so the recorded way is tried more than once; the last attempt takes as many steps along whatever way there is.
constexpr int kAttempts = 4;

// Text that a child leaves for the test, however it ends.
class Notes {
 public:
  Notes() {
    absl::StatusOr<os::SharedMapping> memory = os::SharedMapping::Create(sizeof(Area));
    if (!memory.ok()) {
      std::fprintf(stderr, "KillAtEveryInstruction: %s\n", memory.status().ToString().c_str());
      std::abort();
    }
    memory_ = *std::move(memory);
  }

  void Add(std::string_view text) {
    const uint32_t at = area().used.load(std::memory_order_relaxed);
    const size_t bytes = std::min(text.size(), sizeof area().text - at);
    std::memcpy(area().text + at, text.data(), bytes);
    area().used.store(at + static_cast<uint32_t>(bytes), std::memory_order_relaxed);
  }
  std::string Take() { return std::string(area().text, area().used.exchange(0, std::memory_order_relaxed)); }

 private:
  struct Area {
    std::atomic<uint32_t> used;
    char text[32 << 10];
  };
  Area& area() const { return *static_cast<Area*>(memory_.data()); }
  os::SharedMapping memory_;
};

// In a child: the failures become notes.
class FailureNoter : public ::testing::ScopedFakeTestPartResultReporter {
 public:
  FailureNoter(InterceptMode threads, Notes& notes)
      : ScopedFakeTestPartResultReporter(threads, nullptr), notes_(notes) {}

 private:
  void ReportTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.passed()) return;
    const char* const file = result.file_name();
    notes_.Add(
        absl::StrCat(file == nullptr ? "" : file, ":", result.line_number(), "\n", result.message(), "\n"));
  }
  Notes& notes_;
};

// Of all threads, and of this one apart, whose failures the test itself may have redirected.
struct NotedFailures {
  explicit NotedFailures(Notes& notes)
      : of_others(FailureNoter::INTERCEPT_ALL_THREADS, notes),
        of_this_one(FailureNoter::INTERCEPT_ONLY_CURRENT_THREAD, notes) {}
  FailureNoter of_others, of_this_one;
};

// One boundary of the recorded run: before an instruction, or inside a system call that sleeps.
struct Boundary {
  uint64_t rip;
  bool asleep;
  bool repeats;  // a further iteration of the instruction of the boundary before it
};

// How a boundary is reached: by a breakpoint at an earlier one, which it is the `entries`th time at its
// address, and by steps from there. Without an anchor by steps alone.
struct Way {
  int64_t anchor = -1;
  int64_t entries = 0;
  int64_t cost = 0;  // stops
};

class Prover {
 public:
  Prover(const KillScenario& scenario, const KillOptions& options) : scenario_(scenario), options_(options) {}

  KillReport Run() {
    std::fflush(nullptr);
    if (!Record()) return report_;
    PlanWays();
    const int64_t last = static_cast<int64_t>(trace_.size()) - 1;
    ChooseStride(last + 1);
    for (int64_t at = report_.offset; at < last; at += report_.stride) {
      Try(at);
      if (report_.gave_up) return report_;
    }
    Try(last);
    return report_;
  }

 private:
  using Where = Tracee::Where;

  Tracee StartTracee() {
    return Tracee(
        [this] {
          const NotedFailures failures(notes_);
          Tracee::Begin();
          scenario_.operation();
          Tracee::End();
        },
        scenario_.while_blocked, scenario_.can_unblock, options_.limit, instructions_);
  }

  void GiveUp(std::string why) {
    report_.gave_up = true;
    ADD_FAILURE() << "KillAtEveryInstruction: " << why;
  }

  // The way of one undisturbed run, the last boundary being its end. False where there is none.
  bool Record() {
    scenario_.setup();
    Tracee tracee = StartTracee();
    Where where = tracee.where();
    int repeats = 0;
    while (true) {
      if (where == Where::kStart) {
        marked_ = true;
        trace_.clear();
      }
      if (where == Where::kBroken) {
        GiveUp(absl::StrCat(tracee.error(), Place(trace_.size())));
        scenario_.teardown();
        return false;
      }
      const bool repeating = where == Where::kInside && !trace_.empty() &&
                             trace_.back().rip == tracee.rip() && !trace_.back().asleep &&
                             tracee.at_rip().repeated_bytes != 0;
      repeats = repeating ? repeats + 1 : 0;
      trace_.push_back({tracee.rip(), where == Where::kAsleep, repeating});
      if (where == Where::kReturned || where == Where::kExited) break;
      if (where == Where::kAsleep && !scenario_.can_unblock) {
        report_.left_asleep = true;
        break;
      }
      if (static_cast<int64_t>(trace_.size()) > options_.max_instructions) {
        GiveUp(absl::StrCat("the operation has not returned after ", options_.max_instructions,
                            " instructions", Place(trace_.size())));
        scenario_.teardown();
        return false;
      }
      if (repeats == kRepeatsTried) {
        ++report_.coalesced;
        where = tracee.ContinueTo(tracee.rip() + tracee.at_rip().repeated_bytes, 1);
      } else {
        where = tracee.Step();
      }
    }
    report_.completed = !report_.left_asleep;
    report_.instructions = static_cast<int64_t>(trace_.size()) - 1;
    report_.stops += tracee.stops();
    tracee.Kill();
    scenario_.teardown();
    if (const std::string failures = notes_.Take(); !failures.empty()) {
      ADD_FAILURE() << "KillAtEveryInstruction: in the operation:\n" << failures;
    }
    return true;
  }

  void PlanWays() {
    std::unordered_map<uint64_t, int64_t> entered;
    ways_.resize(trace_.size());
    for (size_t i = 0; i < trace_.size(); ++i) {
      Way& way = ways_[i];
      if (i > 0) {
        way = ways_[i - 1];
        ++way.cost;
      }
      if (trace_[i].repeats || trace_[i].asleep) continue;
      const int64_t entries = ++entered[trace_[i].rip];
      if (entries < way.cost) way = {.anchor = static_cast<int64_t>(i), .entries = entries, .cost = entries};
    }
  }

  void ChooseStride(int64_t points) {
    int64_t most = options_.max_points;
    int64_t in_all = 0;
    const char* const limit = std::getenv("KO_KILL_POINTS");
    if (limit != nullptr && absl::SimpleAtoi(limit, &in_all)) most = std::min(most, in_all);
    most = std::max<int64_t>(1, most);
    report_.stride = options_.stride > 0 ? options_.stride : std::max<int64_t>(1, (points + most - 1) / most);
    int64_t offset = options_.offset;
    if (offset < 0) {
      const char* const run = std::getenv("TEST_RUN_NUMBER");
      if (run == nullptr || !absl::SimpleAtoi(run, &offset)) offset = std::random_device()();
    }
    report_.offset = offset % report_.stride;
  }

  // Brings the tracee to the boundary `at`. False where it took another way.
  bool Reach(Tracee& tracee, int64_t at) {
    if (marked_ && tracee.ContinueToStart() != Where::kStart) return false;
    const Way& way = ways_[at];
    int64_t i = 0;
    if (way.anchor >= 0) {
      i = way.anchor;
      const Where where = tracee.ContinueTo(trace_[i].rip, way.entries);
      if (!IsAt(tracee, where, i)) return false;
    }
    int repeats = 0;
    while (i < at) {
      repeats = trace_[i].repeats ? repeats + 1 : 0;
      const Where where = repeats == kRepeatsTried
                              ? tracee.ContinueTo(tracee.rip() + tracee.at_rip().repeated_bytes, 1)
                              : tracee.Step();
      if (where != Where::kInside && where != Where::kAsleep) return IsAt(tracee, where, ++i) && i == at;
      if (!IsAt(tracee, where, ++i)) return false;
    }
    return true;
  }

  bool IsAt(const Tracee& tracee, Where where, int64_t at) const {
    const bool is_last = at + 1 == static_cast<int64_t>(trace_.size());
    if (where == Where::kExited) return is_last;
    if (where == Where::kAsleep || trace_[at].asleep) return (where == Where::kAsleep) == trace_[at].asleep;
    if (where != Where::kInside && where != Where::kReturned) return false;
    return tracee.rip() == trace_[at].rip;
  }

  // Steps as many instructions, whatever they are. False where there are not so many.
  bool StepAlong(Tracee& tracee, int64_t at) {
    if (marked_ && tracee.ContinueToStart() != Where::kStart) return false;
    for (int64_t i = 0; i < at; ++i) {
      const Where where = tracee.Step();
      if (where != Where::kInside && !(where == Where::kAsleep && scenario_.can_unblock)) return i + 1 == at;
    }
    return true;
  }

  void Try(int64_t at) {
    KillPoint point = {.instruction = at, .instructions = report_.instructions};
    uint64_t rip = 0;
    std::string note;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      const bool by_steps = attempt == kAttempts;
      scenario_.setup();
      Tracee tracee = StartTracee();
      const bool reached = by_steps ? StepAlong(tracee, at) : Reach(tracee, at);
      const Where where = tracee.where();
      if (!reached && !by_steps) {
        report_.stops += tracee.stops();
        tracee.Kill();
        scenario_.teardown();
        notes_.Take();
        continue;
      }
      if (by_steps) ++report_.diverged;
      report_.stops += tracee.stops();
      rip = tracee.rip();
      if (by_steps) note = ", on another way than the recorded one";
      point.completed = where == Where::kReturned || where == Where::kExited;
      point.asleep = where == Where::kAsleep;
      const std::string error = where == Where::kBroken ? tracee.error() : "";
      tracee.Kill();
      const std::string in_operation = notes_.Take();
      std::string failures = error.empty() ? Check(point) : error;
      if (!in_operation.empty()) failures = absl::StrCat("in the operation:\n", in_operation, failures);
      scenario_.teardown();
      ++report_.points;
      if (!failures.empty()) Fail(point, rip, note, failures);
      return;
    }
  }

  // What the check has noted; empty where all is well.
  std::string Check(const KillPoint& point) {
    return InOwnProcess("the check", [&] {
      const NotedFailures failures(notes_);
      scenario_.check(point);
    });
  }

  // Returns the notes that `run` has made, and how its process ended where that is not by itself.
  std::string InOwnProcess(std::string_view what, absl::FunctionRef<void()> run) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      run();
      std::fflush(nullptr);
      ::_exit(0);
    }
    const os::UniqueFd pidfd = os::OpenPidfd(pid);
    if (pid < 0 || !pidfd.valid()) {
      std::perror("KillAtEveryInstruction: fork");
      std::abort();
    }
    std::string end;
    if (!os::AwaitEnd(pidfd.get(), os::Deadline::After(options_.limit)).value_or(false)) {
      end = absl::StrFormat(
          "%s hangs; after %s it was in %s, system call %s\n", what, absl::FormatDuration(options_.limit),
          ReadFile(absl::StrCat("/proc/", pid, "/wchan")), ReadFile(absl::StrCat("/proc/", pid, "/syscall")));
      os::SendSignal(pidfd.get(), SIGKILL);
    }
    int status = 0;
    os::RetryEintr([&] { return ::waitpid(pid, &status, 0); });
    if (end.empty() && WIFSIGNALED(status)) {
      end = absl::StrCat(what, " was ended by signal ", WTERMSIG(status), "\n");
    } else if (end.empty() && WEXITSTATUS(status) != 0) {
      end = absl::StrCat(what, " exited with ", WEXITSTATUS(status), "\n");
    }
    return absl::StrCat(notes_.Take(), end);
  }

  // In a process of its own, because the symbolizer keeps files open.
  std::string Noted(absl::FunctionRef<std::string()> describe) {
    return InOwnProcess("the symbolizer", [&] { notes_.Add(describe()); });
  }

  std::string Place(size_t boundaries) {
    if (boundaries == 0) return "";
    return absl::StrCat(", in ", Noted([&] { return DescribeCode(trace_.back().rip); }));
  }

  void Fail(const KillPoint& point, uint64_t rip, const std::string& note, const std::string& failures) {
    KillFailure failure = {.point = point, .symbol = Noted([&] { return SymbolAt(rip); }), .text = ""};
    const std::string place = Noted([&] {
      std::string text = absl::StrCat("\n  next: ", DescribeCode(rip));
      if (point.instruction > 0)
        absl::StrAppend(&text, "\n  last: ", DescribeCode(trace_[point.instruction - 1].rip));
      return text;
    });
    failure.text = absl::StrCat(
        "killed ",
        point.completed ? "after the operation had ended"
                        : absl::StrCat(point.asleep ? "asleep in the system call before " : "before ",
                                       "instruction ", point.instruction, " of ", report_.instructions),
        note, place, "\n", failures);
    ADD_FAILURE() << failure.text;
    report_.failures.push_back(std::move(failure));
    if (static_cast<int>(report_.failures.size()) == options_.max_failures) {
      GiveUp(absl::StrCat(report_.failures.size(), " kill points have failed; the rest is not tried. ",
                          report_.ToString()));
    }
  }

  const KillScenario& scenario_;
  const KillOptions& options_;
  Notes notes_;
  Tracee::Instructions instructions_;
  std::vector<Boundary> trace_;
  std::vector<Way> ways_;
  bool marked_ = false;  // the operation calls KillPointsStartHere
  KillReport report_;
};

}  // namespace

std::string KillReport::ToString() const {
  return absl::StrFormat(
      "%d kill points in %d instructions (every %d, from %d), %d failed; %d long repeated instructions not "
      "tried to their end, %d runs went another way, %d stops",
      points, instructions, stride, offset, failures.size(), coalesced, diverged, stops);
}

KillReport RunKillAtEveryInstruction(const KillScenario& scenario, const KillOptions& options) {
  return Prover(scenario, options).Run();
}

void KillPointsStartHere() { Tracee::StartAnew(); }

}  // namespace ko::testing
