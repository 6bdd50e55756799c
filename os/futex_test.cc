#include "ko/os/futex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using ::ko::testing::FailSyscall;
using ::ko::testing::InChild;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

using Word = std::atomic<uint32_t>;
const Deadline kNever = Deadline::After(absl::InfiniteDuration());

TEST(FutexTest, AWordThatDiffersDoesNotLetItSleep) {
  const Word a = 1;
  const Word b = 2;
  FutexWaitList waits;
  waits.Add(a, 1, FutexScope::kPrivate);
  waits.Add(b, 3, FutexScope::kShared);
  EXPECT_EQ(waits.Sleep(kNever), EAGAIN);
}

TEST(FutexTest, TheDeadlineEndsTheSleep) {
  const Word word = 0;
  FutexWaitList waits;
  waits.Add(word, 0, FutexScope::kPrivate);
  EXPECT_EQ(waits.Sleep(Deadline::After(absl::ZeroDuration())), ETIMEDOUT);
  const absl::Duration start = MonotonicNow();
  EXPECT_EQ(waits.Sleep(Deadline::After(absl::Milliseconds(10))), ETIMEDOUT);
  EXPECT_GE(MonotonicNow() - start, absl::Milliseconds(10));
}

TEST(FutexTest, AnyWordOfAFullListWakes) {
  for (size_t which : {size_t{0}, size_t{64}, FutexWaitList::kCapacity - 1}) {
    Word words[FutexWaitList::kCapacity] = {};
    FutexWaitList waits;
    for (Word& word : words) {
      EXPECT_FALSE(waits.full());
      waits.Add(word, 0, FutexScope::kPrivate);
    }
    EXPECT_TRUE(waits.full());
    std::atomic<bool> woken = false;
    std::thread thread([&] {
      EXPECT_EQ(waits.Sleep(kNever), 0);
      woken = true;
    });
    // The words never change, so only a wake-up that finds it asleep lets it go.
    while (!woken) FutexWake(words[which], FutexScope::kPrivate, 1);
    thread.join();
  }
}

TEST(FutexTest, ASharedWordWakesAnotherProcess) {
  absl::StatusOr<SharedMapping> memory = SharedMapping::Create(sizeof(Word));
  ASSERT_THAT(memory, IsOk());
  auto* const word = new (memory->data()) Word(0);
  const pid_t sleeper = ::fork();
  ASSERT_NE(sleeper, -1);
  if (sleeper == 0) {
    FutexWaitList waits;
    waits.Add(*word, 0, FutexScope::kShared);
    ::_exit(waits.Sleep(kNever));
  }
  // As above.
  int status;
  while (::waitpid(sleeper, &status, WNOHANG) == 0) FutexWake(*word, FutexScope::kShared, 1);
  EXPECT_EQ(status, 0);
}

TEST(FutexTest, AKernelWithoutItIsTold) {
  EXPECT_THAT(CheckFutexWaitv(), IsOk());
  const auto result = InChild([] {
    FailSyscall(SYS_futex_waitv, ENOSYS);
    EXPECT_THAT(CheckFutexWaitv(), StatusIs(absl::StatusCode::kUnimplemented));
  });
  EXPECT_TRUE(result.ok());
}

}  // namespace
}  // namespace ko::os
