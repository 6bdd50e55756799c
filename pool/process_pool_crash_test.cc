// Deaths in a pool: of workers in their tasks and anywhere else, of the supervisor, of the process that has the pool.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ko/os/shared_mapping.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/process_pool.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

// How often each task was run, and Count in all, in memory that the workers share.
constexpr int kCounters = 10'000;
constexpr int kCountInAll = kCounters - 1;
std::atomic<int>* counters = nullptr;

int Add(int a, int b) { return a + b; }
int Count(int index) {
  counters[index].fetch_add(1);
  counters[kCountInAll].fetch_add(1);
  return index;
}
int DieBySignal(int signo) {
  ::raise(signo);
  return 0;
}
int Exit(int code) { std::exit(code); }
int DieAtFirst(int index) {
  if (counters[index].fetch_add(1) == 0) ::raise(SIGKILL);
  return index;
}
int DieAtMultiplesOfTen(int index) {
  counters[index].fetch_add(1);
  if (index % 10 == 0) ::raise(SIGKILL);
  return index;
}
int SleepAtMultiplesOfTen(int index) {
  counters[index].fetch_add(1);
  while (index % 10 == 0) ::pause();
  return index;
}
void SleepForEver() {
  for (;;) ::pause();
}

class ProcessPoolCrashTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<os::SharedMapping> memory =
        os::SharedMapping::Create(kCounters * sizeof(std::atomic<int>));
    ASSERT_THAT(memory, IsOk());
    memory_ = *std::move(memory);
    counters = static_cast<std::atomic<int>*>(memory_.data());
  }
  void TearDown() override {
    memory_ = os::SharedMapping();
    LeakCheckedTest::TearDown();
  }
  static ProcessPool Make(PoolOptions options = {.workers = 2}) {
    absl::StatusOr<ProcessPool> pool = ProcessPool::Create(std::move(options));
    EXPECT_THAT(pool, IsOk());
    return *std::move(pool);
  }
  static std::vector<int> Numbers(int count) {
    std::vector<int> numbers;
    for (int i = 0; i < count; ++i) numbers.push_back(i);
    return numbers;
  }

 private:
  os::SharedMapping memory_;
};

TEST_F(ProcessPoolCrashTest, ATaskWhoseWorkerDiesIsAbortedWithTheSignalsName) {
  ProcessPool pool = Make();
  for (const auto& [signo, name] :
       {std::pair(SIGSEGV, "killed by SIGSEGV"), std::pair(SIGKILL, "killed by SIGKILL"),
        std::pair(SIGABRT, "killed by SIGABRT")}) {
    Future<int> before = pool.Submit<&Add>(1, 1);
    Future<int> task = pool.Submit<&DieBySignal>(signo);
    Future<int> after = pool.Submit<&Add>(2, 2);
    EXPECT_THAT(task.Get(), StatusIs(absl::StatusCode::kAborted, HasSubstr(name)));
    EXPECT_THAT(before.Get(), IsOkAndHolds(2));
    EXPECT_THAT(after.Get(), IsOkAndHolds(4));
  }
}

TEST_F(ProcessPoolCrashTest, ATaskThatExitsIsAbortedWithTheCode) {
  ProcessPool pool = Make({.workers = 1});
  EXPECT_THAT(pool.Submit<&Exit>(3).Get(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 3")));
  EXPECT_THAT(pool.Submit<&Exit>(0).Get(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exited with code 0")));
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolCrashTest, ATaskIsTriedAgainAsOftenAsAsked) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&DieAtFirst>({.retries = 1}, 0).Get(), IsOkAndHolds(0));
  EXPECT_EQ(counters[0], 2);
  EXPECT_THAT(pool.Submit<&DieAtMultiplesOfTen>({.retries = 2}, 10).Get(),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(counters[10], 3);
}

TEST_F(ProcessPoolCrashTest, InAMapADeathCostsItsElementOnly) {
  ProcessPool pool = Make();
  const std::vector<absl::StatusOr<int>> results =
      pool.Map<&DieAtMultiplesOfTen>(Numbers(100), {.chunk = 25});
  for (int i = 0; i < 100; ++i) {
    if (i % 10 == 0) {
      EXPECT_THAT(results[i], StatusIs(absl::StatusCode::kAborted, HasSubstr("SIGKILL")));
    } else {
      EXPECT_THAT(results[i], IsOkAndHolds(i));
    }
    EXPECT_EQ(counters[i], 1) << i;
  }
}

TEST_F(ProcessPoolCrashTest, InAMapOnlyTheElementThatDiedIsTriedAgain) {
  ProcessPool pool = Make();
  const std::vector<absl::StatusOr<int>> results =
      pool.Map<&DieAtMultiplesOfTen>(Numbers(50), {.retries = 1, .chunk = 50});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(results[i].ok(), i % 10 != 0);
    EXPECT_EQ(counters[i], i % 10 == 0 ? 2 : 1);
  }
}

TEST_F(ProcessPoolCrashTest, InAMapATimeLimitCostsItsElementOnly) {
  ProcessPool pool = Make();
  const std::vector<absl::StatusOr<int>> results =
      pool.Map<&SleepAtMultiplesOfTen>(Numbers(30), {.time_limit = absl::Milliseconds(200), .chunk = 15});
  for (int i = 0; i < 30; ++i) {
    if (i % 10 == 0) {
      EXPECT_THAT(results[i], StatusIs(absl::StatusCode::kDeadlineExceeded));
    } else {
      EXPECT_THAT(results[i], IsOkAndHolds(i));
    }
    EXPECT_EQ(counters[i], 1) << i;
  }
}

TEST_F(ProcessPoolCrashTest, WorkersThatAreKilledAsleepAreReplaced) {
  ProcessPool pool = Make();
  for (int round = 0; round < testing::Rounds(20); ++round) {
    for (const pid_t pid : pool.WorkerPids()) ::kill(pid, SIGKILL);
    EXPECT_THAT(pool.Submit<&Add>({.retries = 10}, round, 1).Get(), IsOkAndHolds(round + 1));
  }
}

TEST_F(ProcessPoolCrashTest, WhicheverWorkerIsKilledWheneverEveryFutureResolvesOnce) {
  ProcessPool pool = Make({.workers = 3, .capacity = 16});
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  int lost = 0;
  for (int round = 0; round < testing::Rounds(1000); ++round) {
    for (int i = 0; i < 24; ++i) counters[i] = 0;
    std::vector<Future<int>> tasks;
    const int kill_after = static_cast<int>(random() % 24);
    for (int i = 0; i < 24; ++i) {
      tasks.push_back(pool.Submit<&Count>(i));
      if (i != kill_after) continue;
      const std::vector<pid_t> pids = pool.WorkerPids();
      if (!pids.empty()) ::kill(pids[random() % pids.size()], SIGKILL);
    }
    for (int i = 0; i < 24; ++i) {
      const absl::StatusOr<int> result = tasks[i].Get();
      EXPECT_LE(counters[i], 1);
      if (result.ok()) {
        EXPECT_EQ(*result, i);
        EXPECT_EQ(counters[i], 1);
      } else {
        ++lost;
        EXPECT_THAT(result, StatusIs(absl::StatusCode::kAborted, HasSubstr("SIGKILL")));
      }
      EXPECT_FALSE(tasks[i].valid());
    }
  }
  EXPECT_LE(lost, testing::Rounds(1000));  // a death costs one task at most
}

TEST_F(ProcessPoolCrashTest, WhileWorkersAreKilledAMapLosesAtMostWhatRan) {
  ProcessPool pool = Make({.workers = 3});
  std::atomic<bool> ends = false;
  std::atomic<int> kills = 0;
  std::thread killer([&] {
    // Where forks take long, workers that are killed by the clock alone come to run nothing.
    constexpr int kTasksAKill = 100;
    int next = kTasksAKill;
    while (!ends) {
      const int run = counters[kCountInAll];
      const std::vector<pid_t> pids = run < next ? std::vector<pid_t>() : pool.WorkerPids();
      if (!pids.empty()) next = run + kTasksAKill;
      if (!pids.empty() && ::kill(pids[static_cast<size_t>(kills) % pids.size()], SIGKILL) == 0) ++kills;
      ::usleep(500);
    }
  });
  int lost = 0;
  for (int round = 0; round < testing::Rounds(20); ++round) {
    const std::vector<int> numbers = Numbers(5000);
    const std::vector<absl::StatusOr<int>> results = pool.Map<&Count>(numbers);
    for (int i = 0; i < 5000; ++i) {
      if (results[i].ok()) {
        EXPECT_EQ(*results[i], i);
      } else {
        ++lost;
        EXPECT_THAT(results[i], StatusIs(absl::StatusCode::kAborted));
      }
    }
  }
  ends = true;
  killer.join();
  EXPECT_LE(lost, kills);
}

TEST_F(ProcessPoolCrashTest, WhenTheSupervisorIsKilledNothingHangs) {
  ProcessPool pool = Make({.workers = 2, .capacity = 4});
  Future<int> done = pool.Submit<&Add>(1, 2);
  EXPECT_TRUE(done.Wait());
  std::vector<Future<void>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(pool.Submit<&SleepForEver>());
  const std::vector<pid_t> workers = pool.WorkerPids();
  std::vector<std::thread> threads;
  for (Future<void>& task : tasks) {
    threads.emplace_back([&task] {
      EXPECT_THAT(task.Get(), StatusIs(absl::StatusCode::kAborted, HasSubstr("killed by SIGKILL")));
    });
  }
  threads.emplace_back([&pool] {  // there is no room, now or ever
    EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), StatusIs(absl::StatusCode::kAborted));
  });
  ::kill(pool.supervisor_pid(), SIGKILL);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(done.Get(), IsOkAndHolds(3));
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(pool.Map<&Count>(Numbers(2))[1], StatusIs(absl::StatusCode::kAborted));
  // They have become this process's children.
  for (const pid_t worker : workers) EXPECT_EQ(::waitpid(worker, nullptr, 0), worker);
}

TEST_F(ProcessPoolCrashTest, WhenItsProcessDiesThePoolIsGone) {
  const testing::InChildResult result = testing::InChild([] {
    ProcessPool pool = Make({.workers = 2});
    Future<void> running = pool.Submit<&SleepForEver>();
    std::string pids = std::to_string(pool.supervisor_pid());
    for (const pid_t pid : pool.WorkerPids()) pids += " " + std::to_string(pid);
    (void)!::write(STDOUT_FILENO, pids.data(), pids.size());
    ::raise(SIGKILL);
  });
  // Who was whose child decides who reaps them; all that is left to this process comes here.
  int ended = 0;
  while (::waitpid(-1, nullptr, 0) > 0) ++ended;
  EXPECT_GE(ended, 1);
  EXPECT_EQ(result.term_signal, SIGKILL);
}

}  // namespace
}  // namespace ko
