#include "ko/soak/worker.h"

#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/pool/process_pool.h"

namespace ko::soak {
namespace {

void DoAJob(World& world, Self& self) {
  absl::StatusOr<Job> job = world.queue->Receive(absl::Milliseconds(20), self.interrupt());
  if (!job.ok()) return;
  uint64_t number = 0;
  if (!absl::SimpleAtoi(job->body(), &number) || number >= world.ledger().jobs_published) {
    return world.Violation(absl::StrCat("a job that nobody published: ", job->body()));
  }
  world.done(number).store(1);
  if (job->Ack().ok()) ++world.ledger().jobs_acknowledged;
}

void Send(World& world) {
  if (world.ledger().messages_begun.load() >= kMaxItems) return;
  const uint64_t number = world.ledger().messages_begun++;
  if (world.channel.Send(number, absl::Milliseconds(1)).ok()) ++world.ledger().messages_sent;
}

void Receive(World& world) {
  absl::StatusOr<uint64_t> number = world.channel.Receive(absl::Milliseconds(1));
  if (!number.ok()) return;
  if (*number >= world.ledger().messages_begun) return world.Violation("a message that nobody sent");
  if (world.received(*number).fetch_add(1) != 0) {
    world.Violation(absl::StrCat("message ", *number, " was received twice"));
  }
}

void Count(World& world, int counter) {
  ++world.ledger().increments_begun;
  if (world.memory.Increment<int64_t>(absl::StrCat("counter ", counter)).ok())
    ++world.ledger().increments_done;
}

// Keys that come and go, of all lengths.
void Scribble(World& world, absl::BitGen& random) {
  const std::string key = absl::StrCat("scribble ", absl::Uniform(random, 0, 20));
  if (absl::Bernoulli(random, 0.3)) {
    world.memory.Erase(key).IgnoreError();
    return;
  }
  const auto bytes = absl::Uniform<size_t>(random, 0, 600);
  const std::string value(bytes, static_cast<char>('a' + bytes % 26));
  world.memory.Set(key, value).IgnoreError();  // there may be no room
  absl::StatusOr<std::string> read = world.memory.Get<std::string>(key);
  if (read.ok() && *read != std::string(read->size(), static_cast<char>('a' + read->size() % 26))) {
    world.Violation("a value was torn");
  }
}

void HoldTheSection(World& world) {
  if (!world.semaphore.Acquire(absl::Milliseconds(50)).ok()) return;
  std::atomic<pid_t>& holder = world.ledger().section_holder;
  const pid_t before = holder.exchange(::getpid());
  // One that was killed in its section could not say that it has left.
  if (before != 0 && !world.IsMarkedKilled(before)) {
    world.Violation(absl::StrCat("process ", before, " is in the section, too"));
  }
  ++world.ledger().sections;
  if (holder.exchange(0) != ::getpid()) world.Violation("somebody came into a held section");
  if (!world.semaphore.Release().ok()) world.Violation("a permit was lost while it was held");
}

uint64_t Square(uint64_t x) { return x * x; }

}  // namespace

void Work(World& world, Self& self) {
  absl::BitGen random;
  world.MarkKilled(self.pid(), false);
  self.NotifyReady();
  while (!self.ShouldShutdown()) {
    self.Heartbeat();
    switch (absl::Uniform(random, 0, 6)) {
      case 0:
        DoAJob(world, self);
        break;
      case 1:
        Send(world);
        break;
      case 2:
        Receive(world);
        break;
      case 3:
        Count(world, absl::Uniform(random, 0, kCounters));
        break;
      case 4:
        Scribble(world, random);
        break;
      case 5:
        HoldTheSection(world);
        break;
    }
  }
}

void UsePool(World& world, Self& self) {
  absl::BitGen random;
  self.NotifyReady();
  absl::StatusOr<ProcessPool> pool = ProcessPool::Create({.workers = 2});
  if (!pool.ok()) return world.Violation(absl::StrCat("no pool: ", pool.status().message()));
  while (!self.ShouldShutdown()) {
    self.Heartbeat();
    std::vector<Future<uint64_t>> futures;
    for (uint64_t i = 0; i < 200; ++i) futures.push_back(pool->Submit<&Square>(i));
    const std::vector<pid_t> workers = pool->WorkerPids();
    if (!workers.empty() && absl::Bernoulli(random, 0.2)) {
      ::kill(workers[absl::Uniform<size_t>(random, 0, workers.size())], SIGKILL);
      ++world.ledger().pool_kills;
    }
    for (uint64_t i = 0; i < futures.size(); ++i) {
      absl::StatusOr<uint64_t> result = futures[i].Get();
      ++world.ledger().tasks_resolved;
      if (result.ok() && *result != i * i) world.Violation("a task has another one's result");
      if (absl::IsAborted(result.status())) {
        ++world.ledger().tasks_of_killed_workers;
      } else if (!result.ok()) {
        world.Violation(absl::StrCat("a task ended with: ", result.status().message()));
      }
    }
    self.Sleep(absl::Milliseconds(20));
  }
}

}  // namespace ko::soak
