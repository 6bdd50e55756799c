#include "ko/pool/process_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/test_pipe.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

int Add(int a, int b) { return a + b; }
absl::StatusOr<std::string> Twice(const std::string& text) {
  if (text.empty()) return absl::NotFoundError("there is no text");
  return text + text;
}
absl::Status Refuse(std::string_view why) { return absl::PermissionDeniedError(why); }
void Nothing() {}
int Pid() { return ::getpid(); }
int Throw(const std::string& what) { throw std::runtime_error(what); }
int ThrowNumber() { throw 7; }
std::string Repeat(size_t bytes) { return std::string(bytes, 'x'); }
size_t Length(std::string_view text) { return text.size(); }
int64_t Sum(const std::vector<int64_t>& numbers) {
  int64_t sum = 0;
  for (const int64_t number : numbers) sum += number;
  return sum;
}
// Ends with its worker only.
void SleepForEver() {
  for (;;) ::pause();
}
void Say(int fd) { (void)!::write(fd, "!", 1); }
// Tells that it runs, by a byte.
void SayAndSleepForEver(int fd) {
  Say(fd);
  SleepForEver();
}

class ProcessPoolTest : public testing::LeakCheckedTest {
 protected:
  static ProcessPool Make(PoolOptions options = {.workers = 2}) {
    absl::StatusOr<ProcessPool> pool = ProcessPool::Create(std::move(options));
    EXPECT_THAT(pool, IsOk());
    return *std::move(pool);
  }
};

TEST_F(ProcessPoolTest, AFunctionRunsInAnotherProcess) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
  const absl::StatusOr<int> pid = pool.Submit<&Pid>().Get();
  ASSERT_THAT(pid, IsOk());
  EXPECT_NE(*pid, ::getpid());
  EXPECT_THAT(pool.WorkerPids(), ::testing::Contains(*pid));
}

TEST_F(ProcessPoolTest, ArgumentsAreConvertedAsInACall) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Add>(short{1}, 2L).Get(), IsOkAndHolds(3));
  EXPECT_THAT(pool.Submit<&Twice>("ab").Get(), IsOkAndHolds("abab"));
  EXPECT_THAT(pool.Submit<&Length>(std::string("abc")).Get(), IsOkAndHolds(3u));
  const std::vector<int64_t> numbers = {1, 2, 3};
  EXPECT_THAT(pool.Submit<&Sum>(absl::MakeConstSpan(numbers).subspan(1)).Get(), IsOkAndHolds(5));
}

TEST_F(ProcessPoolTest, ALambdaRuns) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<[](int x) { return x * 2; }>(21).Get(), IsOkAndHolds(42));
}

TEST_F(ProcessPoolTest, AnEmptyResultIsOk) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Nothing>().Get(), IsOk());
  EXPECT_THAT(pool.Submit<&Repeat>(0).Get(), IsOkAndHolds(""));
}

TEST_F(ProcessPoolTest, StatusesComeBackWithTheirMessage) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Twice>("").Get(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is no text")));
  EXPECT_THAT(pool.Submit<&Refuse>("not you").Get(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not you")));
}

TEST_F(ProcessPoolTest, ExceptionsComeBackWithTheirMessage) {
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Throw>("too bad").Get(),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("too bad")));
  EXPECT_THAT(pool.Submit<&ThrowNumber>().Get(),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("exception")));
}

TEST_F(ProcessPoolTest, APoolWithoutTasksEnds) {
  ProcessPool pool = Make();
  EXPECT_EQ(pool.workers(), 2u);
  EXPECT_THAT(pool.Finish(), IsOk());
}

TEST_F(ProcessPoolTest, LargeArgumentsAndResultsCross) {
  ProcessPool pool = Make();
  const std::string text(20 << 20, 'y');
  const absl::StatusOr<std::string> twice = pool.Submit<&Twice>(text).Get();
  ASSERT_THAT(twice, IsOk());
  EXPECT_TRUE(*twice == text + text);
  for (const size_t bytes : {1, 150, 200, 250, 4096, 70'000, 3'000'000}) {
    EXPECT_THAT(pool.Submit<&Length>(std::string(bytes, 'z')).Get(), IsOkAndHolds(bytes));
    const absl::StatusOr<std::string> result = pool.Submit<&Repeat>(bytes).Get();
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(result->size(), bytes);
  }
}

TEST_F(ProcessPoolTest, WhatIsTooLongIsRefusedAndCostsNothingElse) {
  ProcessPool pool = Make({.workers = 1, .max_message_bytes = 10'000});
  EXPECT_THAT(pool.Submit<&Length>(std::string(10'001, 'x')).Get(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_message_bytes")));
  EXPECT_THAT(pool.Submit<&Repeat>(10'001).Get(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("max_message_bytes")));
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, ManyMoreTasksThanRoomAllEnd) {
  ProcessPool pool = Make({.workers = 2, .capacity = 8});
  std::vector<Future<int>> sums;
  for (int i = 0; i < 2000; ++i) sums.push_back(pool.Submit<&Add>(i, 1));
  for (int i = 0; i < 2000; ++i) EXPECT_THAT(sums[i].Get(), IsOkAndHolds(i + 1));
}

TEST_F(ProcessPoolTest, ARoomForOneIsEnough) {
  ProcessPool pool = Make({.workers = 2, .capacity = 1});
  for (int i = 0; i < 100; ++i) {
    Future<int> first = pool.Submit<&Add>(i, 1);
    Future<int> second = pool.Submit<&Add>(i, 2);
    EXPECT_THAT(second.Get(), IsOkAndHolds(i + 2));
    EXPECT_THAT(first.Get(), IsOkAndHolds(i + 1));
  }
}

TEST_F(ProcessPoolTest, WhereThereIsNoRoomSubmitGivesUpWhenAsked) {
  ProcessPool pool = Make({.workers = 1, .capacity = 1});
  Future<void> running = pool.Submit<&SleepForEver>();
  EXPECT_THAT(pool.Submit<&Nothing>({.room_timeout = absl::ZeroDuration()}).Get(),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(pool.Submit<&Nothing>({.room_timeout = absl::Milliseconds(2)}).Get(),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(running.ready());
}

TEST_F(ProcessPoolTest, ATaskThatIsCancelledBeforeItStartsDoesNotRun) {
  TestPipe ran;
  ProcessPool pool = Make({.workers = 1});
  Future<void> first = pool.Submit<&SayAndSleepForEver>(ran.in());
  ran.Await();
  Future<void> second = pool.Submit<&SayAndSleepForEver>(ran.in());
  Future<int> third = pool.Submit<&Add>(1, 2);
  second.Cancel();
  EXPECT_TRUE(second.ready());
  EXPECT_THAT(second.Get(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("before it started")));
  first.Cancel();
  EXPECT_THAT(third.Get(), IsOkAndHolds(3));  // so the second one was passed over
}

TEST_F(ProcessPoolTest, ATaskThatIsCancelledWhileItRunsEndsAndItsWorkerIsReplaced) {
  TestPipe ran;
  ProcessPool pool = Make({.workers = 1});
  Future<void> task = pool.Submit<&SayAndSleepForEver>(ran.in());
  ran.Await();
  task.Cancel();
  EXPECT_THAT(task.Get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, CancelAfterTheEndChangesNothing) {
  ProcessPool pool = Make();
  Future<int> sum = pool.Submit<&Add>(1, 2);
  EXPECT_TRUE(sum.Wait());
  sum.Cancel();
  EXPECT_THAT(sum.Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, ATaskThatTakesTooLongIsEnded) {
  ProcessPool pool = Make({.workers = 1});
  EXPECT_THAT(pool.Submit<&SleepForEver>({.time_limit = absl::Milliseconds(5)}).Get(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("time limit")));
  EXPECT_THAT(pool.Submit<&Add>({.time_limit = absl::Hours(1)}, 1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, TheTimeInTheQueueDoesNotCount) {
  ProcessPool pool = Make({.workers = 1});
  std::vector<Future<void>> slow;
  for (int i = 0; i < 3; ++i)
    slow.push_back(pool.Submit<&SleepForEver>({.time_limit = absl::Milliseconds(20)}));
  Future<int> last = pool.Submit<&Add>({.time_limit = absl::Seconds(30)}, 1, 2);
  EXPECT_THAT(last.Get(), IsOkAndHolds(3));
  for (Future<void>& task : slow) EXPECT_THAT(task.Get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ProcessPoolTest, BadOptionsAreRefused) {
  EXPECT_THAT(ProcessPool::Create({.workers = -1}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ProcessPool::Create({.workers = 100'000}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ProcessPool::Create({.capacity = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ProcessPool::Create({.max_message_bytes = 0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ProcessPool::Create({.max_message_bytes = ~size_t{0}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ProcessPool pool = Make();
  EXPECT_THAT(pool.Submit<&Nothing>({.time_limit = absl::ZeroDuration()}).Get(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(pool.Submit<&Nothing>({.retries = -1}).Get(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProcessPoolTest, WorkersAreReplacedAfterTheirTasks) {
  ProcessPool pool = Make({.workers = 1, .tasks_per_worker = 2});
  std::vector<int> pids;
  for (int i = 0; i < 6; ++i) pids.push_back(pool.Submit<&Pid>().Get().value_or(-1));
  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_NE(pids[1], pids[2]);
  EXPECT_EQ(pids[2], pids[3]);
  EXPECT_NE(pids[3], pids[4]);
}

int warm = 0;
TEST_F(ProcessPoolTest, WhatWarmUpLoadsTheWorkersHave) {
  ProcessPool pool = Make({.workers = 2, .warm_up = [] {
                             warm = 42;
                             return absl::OkStatus();
                           }});
  EXPECT_THAT(pool.Submit<[] { return warm; }>().Get(), IsOkAndHolds(42));
  EXPECT_EQ(warm, 0);
}

TEST_F(ProcessPoolTest, AWarmUpThatFailsIsTheErrorOfCreate) {
  EXPECT_THAT(ProcessPool::Create({.warm_up = [] { return absl::NotFoundError("no model"); }}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no model")));
}

// Whoever polls wakes up, which the counters of context switches tell: where none of them moves, nobody made a call.
TEST_F(ProcessPoolTest, AnIdlePoolSleepsWithoutWakingUp) {
  ProcessPool pool = Make({.workers = 3});
  for (int i = 0; i < 100; ++i) EXPECT_THAT(pool.Submit<&Add>(i, 1).Get(), IsOkAndHolds(i + 1));
  std::vector<pid_t> pids = pool.WorkerPids();
  ASSERT_EQ(pids.size(), 3u);
  pids.push_back(pool.supervisor_pid());
  const auto activity = [&pids] {
    std::vector<std::string> lines;
    for (const pid_t pid : pids) {
      EXPECT_TRUE(testing::AwaitState(pid, 'S'));
      lines.push_back(testing::StatusLine(pid, "voluntary_ctxt_switches"));
      lines.push_back(testing::StatusLine(pid, "nonvoluntary_ctxt_switches"));
    }
    return lines;
  };
  // They go to sleep at their own time; from some time on all stay there. The test's time limit ends a pool that polls.
  for (std::vector<std::string> before = activity();;) {
    absl::SleepFor(absl::Milliseconds(500));
    std::vector<std::string> after = activity();
    ASSERT_EQ(after.size(), 8u);
    ASSERT_FALSE(after.front().empty());
    if (after == before) break;
    before = std::move(after);
  }
  EXPECT_THAT(pool.Submit<&Add>(1, 1).Get(), IsOkAndHolds(2));
}

TEST_F(ProcessPoolTest, FinishWaitsForAllTasks) {
  ProcessPool pool = Make({.workers = 2, .capacity = 16});
  std::vector<Future<int>> sums;
  for (int i = 0; i < 100; ++i) sums.push_back(pool.Submit<&Add>(i, 1));
  ASSERT_THAT(pool.Finish(), IsOk());
  for (int i = 0; i < 100; ++i) EXPECT_THAT(sums[i].Get(), IsOkAndHolds(i + 1));
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("shut down")));
}

TEST_F(ProcessPoolTest, FinishEndsWhatTakesTooLong) {
  ProcessPool pool = Make({.workers = 1});
  Future<int> done = pool.Submit<&Add>(1, 2);
  Future<void> running = pool.Submit<&SleepForEver>();
  Future<int> queued = pool.Submit<&Add>(1, 2);
  EXPECT_TRUE(done.Wait());
  EXPECT_THAT(pool.Finish(absl::Milliseconds(5)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(done.Get(), IsOkAndHolds(3));
  EXPECT_THAT(running.Get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(queued.Get(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProcessPoolTest, FuturesOutliveTheirPool) {
  TestPipe ran;
  std::optional<ProcessPool> pool = Make({.workers = 1});
  Future<int> done = pool->Submit<&Add>(1, 2);
  Future<void> running = pool->Submit<&SayAndSleepForEver>(ran.in());
  ran.Await();
  pool.reset();
  EXPECT_THAT(done.Get(), IsOkAndHolds(3));
  EXPECT_THAT(running.Get(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("shut down")));
}

TEST_F(ProcessPoolTest, AResultIsGotOnce) {
  ProcessPool pool = Make();
  Future<int> sum = pool.Submit<&Add>(1, 2);
  EXPECT_TRUE(sum.valid());
  Future<int> moved = std::move(sum);
  EXPECT_FALSE(sum.valid());
  EXPECT_THAT(sum.Get(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(moved.Get(), IsOkAndHolds(3));
  EXPECT_FALSE(moved.valid());
  EXPECT_THAT(moved.Get(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Future<int>().Get(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ProcessPoolTest, AMovedFromPoolRefuses) {
  ProcessPool pool = Make();
  ProcessPool moved = std::move(pool);
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(pool.Map<&Length>(std::vector<std::string>{"a"})[0],
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(pool.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(moved.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, DroppedFuturesLeaveRoomForOthers) {
  ProcessPool pool = Make({.workers = 1, .capacity = 4});
  for (int i = 0; i < 100; ++i) pool.Submit<&Nothing>();
  EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, AForkedChildCannotUseThePool) {
  ProcessPool pool = Make();
  Future<int> sum = pool.Submit<&Add>(1, 2);
  EXPECT_TRUE(testing::InChild([&] {
                EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), StatusIs(absl::StatusCode::kFailedPrecondition));
                EXPECT_THAT(pool.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
                ProcessPool taken = std::move(pool);
              }).ok());
  EXPECT_THAT(sum.Get(), IsOkAndHolds(3));
}

TEST_F(ProcessPoolTest, AThreadedProgramIsRefusedUnlessAllowed) {
  TestPipe done;
  std::thread other([&] { done.Await(); });
  EXPECT_THAT(ProcessPool::Create({.workers = 1}), StatusIs(absl::StatusCode::kFailedPrecondition));
  {
    ProcessPool pool = Make({.workers = 1, .allow_threads = true});
    EXPECT_THAT(pool.Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
  }
  Say(done.in());
  other.join();
}

TEST_F(ProcessPoolTest, WithoutDescriptorsOrAddressSpaceThereIsAnErrorAndNothingIsLeft) {
  EXPECT_THAT(ProcessPool::Create({.capacity = 1 << 20, .max_message_bytes = size_t{1} << 40}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(testing::InChild([] {
                // As many as there are now, and one by one more.
                int next = ::dup(0);
                ::close(next);
                for (int more = 0;; ++more) {
                  ASSERT_LT(more, 30);
                  const rlimit limit = {static_cast<rlim_t>(next + more), static_cast<rlim_t>(next + 100)};
                  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
                  absl::StatusOr<ProcessPool> pool = ProcessPool::Create({.workers = 2});
                  if (!pool.ok()) {
                    EXPECT_THAT(pool, StatusIs(absl::StatusCode::kResourceExhausted));
                    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child is left
                    continue;
                  }
                  EXPECT_THAT(pool->Submit<&Add>(1, 2).Get(), IsOkAndHolds(3));
                  return;
                }
              }).ok());
}

TEST_F(ProcessPoolTest, ThreadsThatWaitWhileThePoolIsStoppedGetAnAnswer) {
  ProcessPool pool = Make({.workers = 2, .capacity = 2});
  TestPipe running;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      Say(running.in());
      const absl::Status result = pool.Submit<&SleepForEver>().Get();  // most wait for room
      EXPECT_TRUE(absl::IsCancelled(result) || absl::IsFailedPrecondition(result)) << result;
    });
  }
  for (int t = 0; t < 6; ++t) running.Await();
  pool.Stop();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ProcessPoolTest, EightThreadsUseOnePool) {
  ProcessPool pool = Make({.workers = 2, .capacity = 32});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 100; ++i) {
        std::vector<Future<int>> sums;
        for (int j = 0; j < 7; ++j) sums.push_back(pool.Submit<&Add>(1000 * t + i, j));
        if (i % 10 == 0) sums[3].Cancel();
        for (int j = 0; j < 7; ++j) {
          const absl::StatusOr<int> sum = sums[j].Get();
          if (!sum.ok() && absl::IsCancelled(sum.status()) && j == 3) continue;
          EXPECT_THAT(sum, IsOkAndHolds(1000 * t + i + j));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ko
