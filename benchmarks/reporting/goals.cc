#include "ko/benchmarks/reporting/goals.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ko/benchmarks/reporting/statistics.h"
#include "ko/benchmarks/reporting/table.h"

namespace ko::benchmarks {
namespace {

using enum Goal::Kind;

const std::vector<Goal>& AllGoals() {
  static const auto* const goals = new std::vector<Goal>{
      {"Fork is no slower than fork", "ForkWait/ko/rss_mb:0", "ForkWait/raw_fork/rss_mb:0", kTimesAsLong, 1},
      {"A manager's fork, too", "ForkWait/ko_manager/rss_mb:0", "ForkWait/raw_fork/rss_mb:0", kTimesAsLong,
       1.25},
      {"A fork server's price does not grow with memory", "ForkWait/fork_server/rss_mb:4096",
       "ForkWait/fork_server/rss_mb:0", kTimesAsLong, 1.2},
      {"It is near a fork's of a small program", "ForkWait/fork_server/rss_mb:4096",
       "ForkWait/raw_fork/rss_mb:0", kTimesAsLong, 1.3},
      {"It is far below a fork's of a large program", "ForkWait/fork_server/rss_mb:4096",
       "ForkWait/raw_fork/rss_mb:4096", kTimesAsFast, 500},
      {"A spare runs the body within a wake-up", "ForkBody/fork_server_near/rss_mb:0",
       "ForkBody/raw_fork/rss_mb:0", kTimesAsLong, 0.3},
      {"Exec beside posix_spawn, small", "ForkWait/ko_exec/rss_mb:0", "ForkWait/posix_spawn/rss_mb:0",
       kTimesAsLong, 1.1},
      {"Exec beside posix_spawn, 1 GiB", "ForkWait/ko_exec/rss_mb:1024", "ForkWait/posix_spawn/rss_mb:1024",
       kTimesAsLong, 1.1},
      {"Exec beside posix_spawn, 4 GiB", "ForkWait/ko_exec/rss_mb:4096", "ForkWait/posix_spawn/rss_mb:4096",
       kTimesAsLong, 1.1},
      {"Exec beside Boost.Process, 4 GiB", "ForkWait/ko_exec/rss_mb:4096",
       "ForkWait/boost_process/rss_mb:4096", kTimesAsFast, 100},

      {"A dead process is replaced", "Respawn/ko/rss_mb:0", "Respawn/raw_loop/rss_mb:0", kTimesAsLong, 1.2},
      {"The same at 1 GiB", "Respawn/ko/rss_mb:1024", "Respawn/raw_loop/rss_mb:1024", kTimesAsLong, 1.2},
      {"With a hot spare", "Respawn/ko_hot_spare/rss_mb:0", "Respawn/raw_loop/rss_mb:0", kTimesAsLong, 0.6},
      {"An end is handled at the same price beside 10,000", "ExitHandling/ko/live:10000",
       "ExitHandling/ko/live:1", kTimesAsLong, 1.5},
      {"A manager of 1,000 idle children does not wake", "IdleWakeups/ko/children:1000", "wakeups",
       kCounterAtMost, 0},

      {"A lock that death gives back, alone", "Lock/ko", "Lock/pthread_robust", kTimesAsLong, 1.2},
      {"The same beside System V's", "Lock/ko", "Lock/sysv_undo", kTimesAsFast, 30},
      {"The same, fought for", "LockContended/ko", "LockContended/pthread_robust", kTimesAsLong, 1.3},
      {"Reading a shared map of 1,000 keys", "MapGet/ko/keys:1000/bytes:8",
       "MapGet/flat_hash_map/keys:1000/bytes:8", kTimesAsLong, 1.5},
      {"Of 100,000 keys", "MapGet/ko/keys:100000/bytes:8", "MapGet/flat_hash_map/keys:100000/bytes:8",
       kTimesAsLong, 1.5},
      {"Beside boost, 1,000 keys", "MapGet/ko/keys:1000/bytes:8", "MapGet/boost/keys:1000/bytes:8",
       kTimesAsFast, 2},
      {"Beside boost, 100,000 keys", "MapGet/ko/keys:100000/bytes:8", "MapGet/boost/keys:100000/bytes:8",
       kTimesAsFast, 2},
      {"Beside boost, while another process writes", "MapGetBesideWriter/ko/keys:1000/bytes:8",
       "MapGetBesideWriter/boost/keys:1000/bytes:8", kTimesAsFast, 10},
      {"Writing a shared map", "MapSet/ko/keys:1000/bytes:8", "MapSet/boost/keys:1000/bytes:8", kTimesAsLong,
       1},
      {"While another process reads", "MapSetBesideReader/ko/keys:1000/bytes:8",
       "MapSetBesideReader/boost/keys:1000/bytes:8", kTimesAsFast, 4},
      {"Messages of 8 bytes beside boost", "Channel/ko/bytes:8/pairs:1", "Channel/boost/bytes:8/pairs:1",
       kTimesAsMany, 3},
      {"Beside a pipe", "Channel/ko/bytes:8/pairs:1", "Channel/pipe/bytes:8/pairs:1", kTimesAsMany, 8},
      {"Beside a ring that knows no death", "Channel/ko/bytes:8/pairs:1", "Channel/raw_ring/bytes:8/pairs:1",
       kTimesAsMany, 0.4},
      {"Messages of 64 bytes beside boost", "Channel/ko/bytes:64/pairs:1", "Channel/boost/bytes:64/pairs:1",
       kTimesAsMany, 3},
      {"Beside a pipe", "Channel/ko/bytes:64/pairs:1", "Channel/pipe/bytes:64/pairs:1", kTimesAsMany, 8},
      {"Beside a ring that knows no death", "Channel/ko/bytes:64/pairs:1",
       "Channel/raw_ring/bytes:64/pairs:1", kTimesAsMany, 0.4},
      {"A word and its answer, both asleep", "RoundTrip/ko/idle_us:200", "RoundTrip/futex/idle_us:200",
       kTimesAsLong, 1.2},
      {"Both busy", "RoundTrip/ko/idle_us:0", "", kNanosecondsAtMost, 1000},
      {"Jobs through one process", "JobQueue/ko/bytes:64", "", kPerSecondAtLeast, 1e6},

      {"Empty tasks, one by one, beside threads", "PoolThroughput/ko/chunk:1",
       "PoolThroughput/thread_pool/chunk:1", kTimesAsMany, 1},
      {"In chunks of 16", "PoolThroughput/ko/chunk:16", "PoolThroughput/thread_pool/chunk:16", kTimesAsMany,
       1},
      {"Beside Python's pool", "PoolThroughput/ko/chunk:1", "PoolThroughput/python/chunk:1", kTimesAsMany,
       100},
      {"One task and its result, all asleep", "PoolRoundTrip/ko/idle:1", "PoolRoundTrip/futex/idle:1",
       kTimesAsLong, 1.3},
      {"All awake", "PoolRoundTrip/ko/idle:0", "", kNanosecondsAtMost, 1000},
      {"Work on all processors, beside threads", "PoolMap/ko", "PoolMap/thread_pool", kTimesAsMany, 0.95},

      {"Jobs through a broker, one by one, beside its bare client", "Queue/amqp/bytes:64/batch:1",
       "Queue/bare/bytes:64/batch:1", kTimesAsMany, 0.9},
      {"A thousand at a time", "Queue/amqp/bytes:64/batch:1000", "Queue/bare/bytes:64/batch:1000",
       kTimesAsMany, 0.9},
      {"The main job, beside find and xargs", "Workers/ko", "Workers/xargs", kTimesAsFast, 1.5},
  };
  return *goals;
}

// A figure at its median and its quartiles.
struct Figure {
  double low = 0, median = 0, high = 0;
};

Figure Summarize(const std::vector<double>& values) {
  return {Quantile(values, 0.25), Median(values), Quantile(values, 0.75)};
}

// The first benchmark of that subject and contender that has all of the parameters, and maybe more; null where there is none.
const Measurement* Find(const Measurements& measurements, const std::string& text) {
  const BenchmarkName wanted = BenchmarkName::Parse(text);
  for (const auto& [name, measurement] : measurements) {
    if (name.subject != wanted.subject || name.contender != wanted.contender) continue;
    const auto has = [&name = name](const BenchmarkName::Parameter& parameter) {
      return std::find(name.parameters.begin(), name.parameters.end(), parameter) != name.parameters.end();
    };
    if (!std::all_of(wanted.parameters.begin(), wanted.parameters.end(), has)) continue;
    return &measurement;
  }
  return nullptr;
}

bool IsAtMost(Goal::Kind kind) {
  return kind == kTimesAsLong || kind == kNanosecondsAtMost || kind == kCounterAtMost;
}
bool IsOfItems(Goal::Kind kind) { return kind == kTimesAsMany || kind == kPerSecondAtLeast; }
bool IsRatio(Goal::Kind kind) { return kind == kTimesAsLong || kind == kTimesAsFast || kind == kTimesAsMany; }

// Nothing where it was not measured, or is no divisor.
std::optional<Figure> FindFigure(const Measurements& measurements, const std::string& text, Goal::Kind kind) {
  const Measurement* const measurement = Find(measurements, text);
  if (measurement == nullptr) return std::nullopt;
  const Figure figure = Summarize(IsOfItems(kind) ? measurement->items_per_second : measurement->nanoseconds);
  return figure.low > 0 ? std::optional(figure) : std::nullopt;
}

std::optional<Figure> FindCounter(const Measurements& measurements, const Goal& goal) {
  const Measurement* const measurement = Find(measurements, goal.figure);
  if (measurement == nullptr) return std::nullopt;
  const auto counter = measurement->counters.find(goal.reference);
  return counter != measurement->counters.end() ? std::optional(Summarize(counter->second)) : std::nullopt;
}

Verdict JudgeOne(const Goal& goal, const Measurements& measurements) {
  Verdict verdict{.goal = goal};
  std::optional<Figure> over = goal.kind == kCounterAtMost ? FindCounter(measurements, goal)
                                                           : FindFigure(measurements, goal.figure, goal.kind);
  std::optional<Figure> under = Figure{1, 1, 1};
  if (IsRatio(goal.kind)) under = FindFigure(measurements, goal.reference, goal.kind);
  if (!over.has_value() || !under.has_value()) return verdict;
  if (goal.kind == kTimesAsFast) std::swap(over, under);
  verdict.reached = over->median / under->median;
  verdict.least = over->low / under->high;
  verdict.most = over->high / under->low;
  const bool holds = IsAtMost(goal.kind) ? verdict.reached <= goal.bound : verdict.reached >= goal.bound;
  verdict.outcome = holds ? Verdict::Outcome::kHolds : Verdict::Outcome::kMisses;
  verdict.within_noise = verdict.least < goal.bound && goal.bound < verdict.most;
  return verdict;
}

std::string Number(Goal::Kind kind, double value) {
  switch (kind) {
    case kNanosecondsAtMost:
      return FormatTime(value);
    case kPerSecondAtLeast:
      return FormatRate(value);
    case kCounterAtMost:
      return FormatNumber(value);
    default:
      return absl::StrFormat("%.*f", value < 9.95 ? 2 : value < 99.5 ? 1 : 0, value);
  }
}

}  // namespace

std::span<const Goal> Goals() { return AllGoals(); }

std::vector<Verdict> Judge(std::span<const Goal> goals, const Measurements& measurements) {
  std::vector<Verdict> verdicts;
  for (const Goal& goal : goals) verdicts.push_back(JudgeOne(goal, measurements));
  return verdicts;
}

std::string DescribeBound(const Goal& goal) {
  const char* const direction = IsAtMost(goal.kind) ? "at most " : "at least ";
  switch (goal.kind) {
    case kTimesAsLong:
      return absl::StrCat(direction, goal.bound, " x the time of ", goal.reference);
    case kTimesAsFast:
      return absl::StrCat(direction, goal.bound, " x as fast as ", goal.reference);
    case kTimesAsMany:
      return absl::StrCat(direction, goal.bound, " x as many as ", goal.reference);
    case kCounterAtMost:
      return absl::StrCat(direction, goal.bound, " ", goal.reference);
    default:
      return absl::StrCat(direction, Number(goal.kind, goal.bound));
  }
}

std::string DescribeReached(const Verdict& verdict) {
  if (verdict.outcome == Verdict::Outcome::kNotMeasured) return "";
  const Goal::Kind kind = verdict.goal.kind;
  const std::string reached = Number(kind, verdict.reached);
  const std::string least = Number(kind, verdict.least);
  const std::string most = Number(kind, verdict.most);
  const std::string text = absl::StrCat(reached, IsRatio(kind) ? " x" : "");
  return least == most ? text : absl::StrCat(text, " (", least, " to ", most, ")");
}

std::string DescribeOutcome(const Verdict& verdict) {
  if (verdict.outcome == Verdict::Outcome::kNotMeasured) return "not measured";
  return absl::StrCat(verdict.outcome == Verdict::Outcome::kHolds ? "holds" : "misses",
                      verdict.within_noise ? ", within the noise" : "");
}

}  // namespace ko::benchmarks
