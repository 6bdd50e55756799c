#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/process_memory.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Processes that are well and replaced all the same, by RecyclePolicy.

namespace ko {
namespace {

using testing::IsOk;

class RecyclingTest : public testing::LeakCheckedTest {};

RestartPolicy AtOnce() {
  return {.when = RestartPolicy::When::kAlways,
          .initial_delay = absl::ZeroDuration(),
          .max_delay = absl::Milliseconds(50),
          .max_restarts = RestartPolicy::kUnlimited};
}

ProcessOptions With(RecyclePolicy policy) { return {.ready = ReadyWhen::kNotified, .recycle = policy}; }

TEST_F(RecyclingTest, ReplacedAfterItsTasksAndNeverFewerThanOneServes) {
  const Shared<std::atomic<int>> serving;
  const Shared<std::atomic<bool>> gap;
  ProcessManager manager;
  Process process = manager.Spawn(
      [&](Self& self) {
        serving->fetch_add(1);
        self.NotifyReady();
        for (int i = 0; i < 3; ++i) self.EndTask();
        while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
        if (serving->fetch_sub(1) == 1) gap->store(true);
      },
      AtOnce(), With({.max_tasks = 3}));
  while (process.restarts() < 4) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_FALSE(gap->load());
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(RecyclingTest, ReplacedAtAnAge) {
  ProcessManager manager;
  Process process = manager.Spawn(ServeUntilShutdown, AtOnce(), With({.max_age = absl::Milliseconds(50)}));
  std::vector<std::string> reasons;
  process.OnExitEvent([&](const ExitEvent& exit) { reasons.push_back(exit.reason); });
  while (reasons.empty()) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_EQ(reasons[0], RecycleReason(Recycle::kAge));
  EXPECT_THAT(process.Stop(), IsOk());
}

void Grow() {
  constexpr size_t kBytes = 64 << 20;
  void* const memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ::_exit(99);
  std::memset(memory, 1, kBytes);
}

// What a child has that does not grow: of its parent's pages it has fewer than that (a sanitizer's by far).
int64_t BytesOfAChild() {
  const Shared<std::atomic<int64_t>> bytes;
  ProcessManager manager;
  EXPECT_THAT(manager.Fork([&](Self&) { *bytes = os::ResidentBytes(::getpid()).value(); }).Wait(), IsOk());
  return *bytes;
}

TEST_F(RecyclingTest, SoftMemoryLimitReplacesAndHardOneKills) {
  for (const bool hard : {false, true}) {
    RecyclePolicy policy{.memory_interval = absl::Milliseconds(20)};
    (hard ? policy.hard_memory_bytes : policy.soft_memory_bytes) = BytesOfAChild() + (32 << 20);
    ProcessManager manager;
    Process process = manager.Spawn(
        [](Self& self) {
          if (self.attempt() == 1) Grow();
          return ServeUntilShutdown(self);
        },
        AtOnce(), With(policy));
    std::vector<ExitEvent> exits;
    process.OnExitEvent([&](const ExitEvent& exit) { exits.push_back(exit); });
    while (exits.empty()) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
    EXPECT_EQ(exits[0].attempt, 1);
    EXPECT_EQ(exits[0].reason, RecycleReason(hard ? Recycle::kHardMemory : Recycle::kSoftMemory));
    EXPECT_EQ(exits[0].status, hard ? ExitStatus::Signaled(SIGKILL) : ExitStatus::Exited(kSawShutdown));
    EXPECT_THAT(process.Stop(), IsOk());
  }
}

TEST_F(RecyclingTest, ReplacementThatFailsLeavesTheOldOneAndIsTriedAgain) {
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() == 2 || self.attempt() == 3) ::_exit(7);
        self.NotifyReady();
        if (self.attempt() == 1) self.EndTask();
        while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
        return kSawShutdown;
      },
      AtOnce(), With({.max_tasks = 1}));
  std::vector<int> ends;
  process.OnExitEvent([&](const ExitEvent& exit) { ends.push_back(exit.attempt); });
  while (ends.size() < 3) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_THAT(ends, ::testing::ElementsAre(2, 3, 1));
  EXPECT_THAT(process.Stop(), IsOk());
}

TEST_F(RecyclingTest, ReplacementThatAlwaysFailsIsNotTriedWithoutAPause) {
  RestartPolicy policy = AtOnce();
  policy.max_delay = absl::ZeroDuration();
  ProcessManager manager;
  Process process = manager.Spawn(
      [](Self& self) {
        if (self.attempt() > 1) ::_exit(7);
        self.NotifyReady();
        self.EndTask();
        while (!self.ShouldShutdown()) self.Sleep(absl::InfiniteDuration());
      },
      policy, With({.max_tasks = 1}));
  std::vector<absl::Duration> starts;
  manager.OnEvent([&](const ProcessEvent& event) {
    if (event.kind == ProcessEvent::Kind::kStarted) starts.push_back(event.monotonic);
  });
  while (starts.size() < 4) ASSERT_THAT(manager.Dispatch(absl::Seconds(30)), IsOk());
  EXPECT_GE(starts[3] - starts[0], absl::Milliseconds(200));
  EXPECT_THAT(process.Stop(), IsOk());
}

}  // namespace
}  // namespace ko
