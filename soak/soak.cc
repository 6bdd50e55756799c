// Runs managers, pools, queues, channels, semaphores and shared memory together for a given time, while processes are killed,
// stopped and signalled at random, and keeps accounts: what was published was done, what was counted is there, nothing grows.
//
//   ./bazelw run -c opt //soak -- --seconds=1800

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/manager/process_manager.h"
#include "ko/os/process_memory.h"
#include "ko/soak/chaos.h"
#include "ko/soak/worker.h"
#include "ko/soak/world.h"
#include "ko/testing/process_state.h"

ABSL_FLAG(double, seconds, 60, "how long processes are killed; then the accounts are made up");
ABSL_FLAG(int, workers, 6, "processes that work, beside a pool of some more");
ABSL_FLAG(int, strikes, 100, "bad things a second: half of them are kills");

namespace ko::soak {
namespace {

// The largest numbers of this process's descriptors and resident bytes, early and late in the run.
class Growth {
 public:
  void Look(double fraction_of_run) {
    if (fraction_of_run < 0.1) return;  // it warms up
    Extremes& now = fraction_of_run < 0.4 ? early_ : late_;
    now.descriptors = std::max<int64_t>(now.descriptors, testing::CountDescriptors());
    now.resident_bytes = std::max(now.resident_bytes, os::ResidentBytes(::getpid()).value_or(0));
  }
  bool IsNone() const {
    return late_.descriptors <= early_.descriptors + 8 &&
           late_.resident_bytes <= early_.resident_bytes + early_.resident_bytes / 10 + (int64_t{4} << 20);
  }
  std::string ToString() const {
    return absl::StrFormat("descriptors %d, later %d; resident %d KiB, later %d KiB", early_.descriptors,
                           late_.descriptors, early_.resident_bytes >> 10, late_.resident_bytes >> 10);
  }

 private:
  struct Extremes {
    int64_t descriptors = 0;
    int64_t resident_bytes = 0;
  };
  Extremes early_, late_;
};

// Not in the manager's process, which continues those that are stopped: one that is stopped in an operation keeps others
// from it.
void PublishJobs(World& world, Self& self) {
  Ledger& ledger = world.ledger();
  while (!self.ShouldShutdown()) {
    for (int i = 0; i < 20 && ledger.jobs_published.load() < kMaxItems; ++i) {
      const uint64_t number = ledger.jobs_published++;  // before: a receiver may be faster
      if (world.queue->Publish(absl::StrCat(number)).ok()) continue;
      --ledger.jobs_published;  // full
      break;
    }
    self.Sleep(absl::Milliseconds(5));
  }
}

RestartPolicy Always() {
  RestartPolicy policy;
  policy.when = RestartPolicy::When::kAlways;
  policy.initial_delay = policy.max_delay = absl::Milliseconds(1);
  policy.max_restarts = RestartPolicy::kUnlimited;
  return policy;
}

// What does not add up, a line each.
std::vector<std::string> Audit(World& world, const Chaos::Counts& chaos, const Growth& growth) {
  Ledger& ledger = world.ledger();
  std::vector<std::string> faults;
  const auto expect = [&faults](bool holds, std::string what) {
    if (!holds) faults.push_back(std::move(what));
  };

  uint64_t lost_jobs = 0;
  for (uint64_t job = 0; job < ledger.jobs_published; ++job) lost_jobs += world.done(job).load() == 0 ? 1 : 0;
  expect(lost_jobs == 0, absl::StrCat(lost_jobs, " jobs were lost"));

  uint64_t received = 0;
  for (uint64_t message = 0; message < ledger.messages_begun; ++message)
    received += world.received(message).load();
  expect(received <= ledger.messages_begun, "more messages were received than sent");
  expect(received + chaos.kills >= ledger.messages_sent,
         absl::StrCat(ledger.messages_sent - received, " messages were lost by ", chaos.kills, " kills"));

  int64_t counted = 0;
  for (int i = 0; i < kCounters; ++i)
    counted += world.memory.Get<int64_t>(absl::StrCat("counter ", i)).value_or(0);
  const auto begun = static_cast<int64_t>(ledger.increments_begun.load());
  const auto done = static_cast<int64_t>(ledger.increments_done.load());
  expect(done <= counted && counted <= begun,
         absl::StrCat("the counters say ", counted, "; ", done, " increments were done, ", begun, " begun"));
  expect(begun - done <= static_cast<int64_t>(chaos.kills),
         absl::StrCat(begun - done, " increments failed by ", chaos.kills, " kills"));

  expect(ledger.tasks_of_killed_workers <= ledger.pool_kills,
         absl::StrCat(ledger.tasks_of_killed_workers.load(), " tasks were lost by ", ledger.pool_kills.load(),
                      " kills of pool workers"));
  expect(growth.IsNone(), absl::StrCat("it grows: ", growth.ToString()));
  expect(ledger.violations == 0,
         absl::StrCat(ledger.violations.load(), " violations, the first: ", ledger.first_violation));

  absl::PrintF(
      "jobs %d, lost %d, acknowledged %d\nmessages sent %d, received %d, each once\n"
      "increments %d to %d, counted %d\nsections %d\npool tasks %d, lost to %d kills of workers %d\n",
      ledger.jobs_published.load(), lost_jobs, ledger.jobs_acknowledged.load(), ledger.messages_sent.load(),
      received, done, begun, counted, ledger.sections.load(), ledger.tasks_resolved.load(),
      ledger.pool_kills.load(), ledger.tasks_of_killed_workers.load());
  absl::PrintF("kills %d, stops %d, SIGTERMs %d, resizes %d, rolling restarts %d\n%s\n", chaos.kills,
               chaos.stops, chaos.terms, chaos.resizes, chaos.roll_outs, growth.ToString());
  return faults;
}

// Nothing bad happens any more: what is in the queue and the channel is taken.
absl::Status Drain(ProcessManager& manager, World& world) {
  const absl::Time deadline = absl::Now() + absl::Minutes(2);
  while (absl::Now() < deadline) {
    if (absl::StatusOr<int> events = manager.Dispatch(absl::Milliseconds(10)); !events.ok())
      return events.status();
    absl::StatusOr<JobQueueStats> stats = world.queue->Stats();
    if (!stats.ok()) return stats.status();
    if (stats->ready == 0 && stats->leased == 0) break;
  }
  if (absl::Status shut = manager.Shutdown(); !shut.ok()) return shut;
  for (;;) {
    const absl::StatusOr<uint64_t> number = world.channel.TryReceive();
    if (!number.ok()) return absl::OkStatus();
    world.received(*number).fetch_add(1);
  }
}

int Run() {
  const absl::Duration run_time = absl::Seconds(absl::GetFlag(FLAGS_seconds));
  absl::StatusOr<std::unique_ptr<World>> made = World::Create();
  if (!made.ok()) {
    absl::FPrintF(stderr, "soak: %s\n", made.status().message());
    return 1;
  }
  World& world = **made;
  for (int i = 0; i < kCounters; ++i) {
    if (!world.memory.Set(absl::StrCat("counter ", i), int64_t{0}).ok()) return 1;
  }

  ProcessManager manager;
  RestartPolicy policy = Always();
  const auto work = [&world](Self& self) { Work(world, self); };
  std::vector<Process> victims;
  for (int i = 0; i < absl::GetFlag(FLAGS_workers); ++i) {
    policy.hot_spare = i == 0;
    victims.push_back(manager.Spawn(work, policy, {.ready = ReadyWhen::kNotified}));
  }
  policy.hot_spare = false;
  victims.push_back(manager.Spawn([&world](Self& self) { UsePool(world, self); }, policy));
  Process publisher = manager.Fork([&world](Self& self) { PublishJobs(world, self); });
  WorkerPool pool = manager.SpawnPool(3, work, policy, {.ready = ReadyWhen::kNotified});

  Chaos chaos(world, victims, pool);
  Growth growth;
  const absl::Time start = absl::Now(), end = start + run_time;
  const absl::Duration between = absl::Seconds(1.0 / std::max(absl::GetFlag(FLAGS_strikes), 1));
  absl::Time next_strike = start, next_look = start;
  while (absl::Now() < end && !manager.IsShuttingDown() && world.ledger().violations == 0) {
    if (absl::StatusOr<int> events = manager.Dispatch(std::min(between, absl::Milliseconds(10)));
        !events.ok()) {
      absl::FPrintF(stderr, "soak: %s\n", events.status().message());
      return 1;
    }
    const absl::Time now = absl::Now();
    if (now >= next_strike) {
      chaos.Strike(now);
      next_strike = now + between;
    }
    if (now < next_look) continue;
    growth.Look(absl::FDivDuration(now - start, run_time));
    next_look = now + std::min(absl::Seconds(5), run_time / 20);
    absl::FPrintF(stderr, "\r%s of %s: %d jobs, %d kills ",
                  absl::FormatDuration(absl::Trunc(now - start, absl::Seconds(1))),
                  absl::FormatDuration(run_time), world.ledger().jobs_published.load(), chaos.counts().kills);
  }
  absl::FPrintF(stderr, "\n");
  chaos.End();
  if (absl::StatusOr<ExitStatus> published = publisher.Stop(); !published.ok() || !published->ok()) return 1;
  if (absl::Status drained = Drain(manager, world); !drained.ok()) {
    absl::FPrintF(stderr, "soak: %s\n", drained.message());
    return 1;
  }
  const std::vector<std::string> faults = Audit(world, chaos.counts(), growth);
  for (const std::string& fault : faults) absl::PrintF("FAULT: %s\n", fault);
  absl::PrintF("%s\n", faults.empty() ? "everything adds up" : "it does not add up");
  return faults.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ko::soak

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Everything together for a while, with processes killed, stopped and signalled at random, and accounts "
      "of it.");
  absl::ParseCommandLine(argc, argv);
  return ko::soak::Run();
}
