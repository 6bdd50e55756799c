#include "ko/os/robust_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"
#include "ko/os/futex.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/status_matchers.h"

namespace ko::os {
namespace {

using ::ko::testing::AwaitState;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

// Words that outlive the children which hold them, and one of the C library's robust mutexes.
struct Shared {
  std::array<RobustFutex, 8> futexes;
  pthread_mutex_t mutex;
};

class RobustListTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<SharedMapping> mapping = SharedMapping::Create(sizeof(Shared));
    ASSERT_THAT(mapping, IsOk());
    memory_ = std::make_shared<SharedMapping>(*std::move(mapping));
    shared_ = new (memory_->data()) Shared();
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutex_init(&shared_->mutex, &attributes);
  }
  void TearDown() override {
    memory_.reset();
    LeakCheckedTest::TearDown();
  }
  absl::Status Hold(int index) { return HoldRobustFutex(shared_->futexes[index], memory_); }
  void Release(int index) { ReleaseRobustFutex(shared_->futexes[index]); }
  uint32_t word(int index) const { return shared_->futexes[index].word; }

  // Runs `body` in a forked child that then dies of SIGKILL.
  void InDoomedChild(absl::FunctionRef<void()> body) {
    const pid_t child = ::fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      body();
      ::kill(::getpid(), SIGKILL);
    }
    int status;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }

  std::shared_ptr<SharedMapping> memory_;
  Shared* shared_ = nullptr;
};

TEST_F(RobustListTest, AHeldWordShowsTheThread) {
  EXPECT_EQ(word(0), 0u);
  ASSERT_THAT(Hold(0), IsOk());
  EXPECT_EQ(word(0), static_cast<uint32_t>(::gettid()));
  Release(0);
  EXPECT_EQ(word(0), 0u);
  Release(0);
  EXPECT_EQ(word(0), 0u);
}

TEST_F(RobustListTest, ADeathMarksAllThatIsHeldAndNothingElse) {
  InDoomedChild([&] {
    for (int i : {0, 1, 2, 3, 4}) EXPECT_THAT(Hold(i), IsOk());
    for (int i : {0, 2, 4}) Release(i);
    EXPECT_THAT(Hold(5), IsOk());
  });
  for (int i : {1, 3, 5}) EXPECT_EQ(word(i), uint32_t{FUTEX_OWNER_DIED}) << i;
  for (int i : {0, 2, 4, 6}) EXPECT_EQ(word(i), 0u) << i;
}

TEST_F(RobustListTest, ItGetsAlongWithTheCLibrarysMutexes) {
  // Every order of locking and unlocking around the list's other entries.
  for (int variant = 0; variant < 16; ++variant) {
    for (RobustFutex& futex : shared_->futexes) futex.word = 0;
    const bool lock_first = variant & 1;
    const bool unlock = variant & 2;
    const bool release_before = variant & 4;
    const bool release_after = variant & 8;
    InDoomedChild([&] {
      if (lock_first) ::pthread_mutex_lock(&shared_->mutex);
      EXPECT_THAT(Hold(0), IsOk());
      EXPECT_THAT(Hold(1), IsOk());
      if (!lock_first) ::pthread_mutex_lock(&shared_->mutex);
      if (release_before) Release(0);
      if (unlock) ::pthread_mutex_unlock(&shared_->mutex);
      if (release_after) Release(1);
      EXPECT_THAT(Hold(2), IsOk());
    });
    EXPECT_EQ(word(0), release_before ? 0 : uint32_t{FUTEX_OWNER_DIED}) << variant;
    EXPECT_EQ(word(1), release_after ? 0 : uint32_t{FUTEX_OWNER_DIED}) << variant;
    EXPECT_EQ(word(2), uint32_t{FUTEX_OWNER_DIED}) << variant;
    EXPECT_EQ(::pthread_mutex_lock(&shared_->mutex), unlock ? 0 : EOWNERDEAD) << variant;
    if (!unlock) ::pthread_mutex_consistent(&shared_->mutex);
    ::pthread_mutex_unlock(&shared_->mutex);
  }
}

TEST_F(RobustListTest, ADeathWakesASleeper) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    ::close(pipe_fds[1]);
    char byte;
    if (Hold(0).ok()) (void)!::read(pipe_fds[0], &byte, 1);
    ::_exit(0);
  }
  const pid_t sleeper = ::fork();
  if (sleeper == 0) {
    ::close(pipe_fds[1]);
    while (word(0) == 0) {
    }
    FutexWaitList waits;
    const uint32_t watched = shared_->futexes[0].word.fetch_or(FUTEX_WAITERS) | FUTEX_WAITERS;
    waits.Add(shared_->futexes[0].word, watched, FutexScope::kShared);
    const int error_number = waits.Sleep(Deadline::After(absl::InfiniteDuration()));
    ::_exit(error_number == EAGAIN ? 0 : error_number);  // the death was quicker than the sleep
  }
  ::close(pipe_fds[0]);
  while ((word(0) & FUTEX_WAITERS) == 0) {
  }
  ASSERT_TRUE(AwaitState(sleeper, 'S'));
  ::close(pipe_fds[1]);
  int status;
  EXPECT_EQ(::waitpid(sleeper, &status, 0), sleeper);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(::waitpid(holder, &status, 0), holder);
  EXPECT_EQ(word(0), uint32_t{FUTEX_OWNER_DIED | FUTEX_WAITERS});
}

TEST_F(RobustListTest, AThreadThatEndsIsMarkedToo) {
  std::thread([&] {
    ASSERT_THAT(Hold(0), IsOk());
    ASSERT_THAT(Hold(1), IsOk());
    ASSERT_THAT(Hold(2), IsOk());
    Release(1);
  }).join();
  EXPECT_EQ(word(0), uint32_t{FUTEX_OWNER_DIED});
  EXPECT_EQ(word(1), 0u);
  EXPECT_EQ(word(2), uint32_t{FUTEX_OWNER_DIED});
}

TEST_F(RobustListTest, AThreadKeepsTheMemoryUntilItEnds) {
  std::thread([&] {
    ASSERT_THAT(Hold(0), IsOk());
    EXPECT_EQ(memory_.use_count(), 2);
    ASSERT_THAT(Hold(1), IsOk());
    Release(0);
    EXPECT_EQ(memory_.use_count(), 2);
  }).join();
  EXPECT_EQ(memory_.use_count(), 1);
}

TEST_F(RobustListTest, MemoryThatNobodyElseUsesIsLetGo) {
  auto other = std::make_shared<SharedMapping>(*SharedMapping::Create(sizeof(RobustFutex)));
  const std::weak_ptr<SharedMapping> watched = other;
  ASSERT_THAT(HoldRobustFutex(*new (other->data()) RobustFutex(), other), IsOk());
  other.reset();
  EXPECT_FALSE(watched.expired());
  ASSERT_THAT(Hold(0), IsOk());
  EXPECT_TRUE(watched.expired());
  Release(0);
}

TEST_F(RobustListTest, AForkedChildHoldsNothing) {
  ASSERT_THAT(Hold(0), IsOk());
  InDoomedChild([&] {
    EXPECT_EQ(FindHeldRobustFutex(shared_, shared_ + 1), nullptr);
    Release(0);
    EXPECT_THAT(Hold(1), IsOk());
    EXPECT_EQ(FindHeldRobustFutex(shared_, shared_ + 1), &shared_->futexes[1]);
  });
  EXPECT_EQ(word(0), static_cast<uint32_t>(::gettid()));
  EXPECT_EQ(word(1), uint32_t{FUTEX_OWNER_DIED});
  Release(0);
}

TEST_F(RobustListTest, FindLooksInTheRangeOnly) {
  ASSERT_THAT(Hold(3), IsOk());
  const RobustFutex* const first = shared_->futexes.data();
  EXPECT_EQ(FindHeldRobustFutex(first, first + 8), first + 3);
  EXPECT_EQ(FindHeldRobustFutex(first, first + 3), nullptr);
  EXPECT_EQ(FindHeldRobustFutex(first + 4, first + 8), nullptr);
  std::thread([&] { EXPECT_EQ(FindHeldRobustFutex(first, first + 8), nullptr); }).join();
  Release(3);
}

TEST_F(RobustListTest, DamagedPointersAreNeverRead) {
  for (int i : {0, 1, 2}) ASSERT_THAT(Hold(i), IsOk());
  for (RobustFutex& futex : shared_->futexes) {
    futex.next = 0x10;
    futex.previous = 0x10;
  }
  Release(1);
  Release(0);
  Release(2);
  InDoomedChild([&] {
    EXPECT_THAT(Hold(0), IsOk());
    EXPECT_THAT(Hold(1), IsOk());
  });
  EXPECT_EQ(word(1), uint32_t{FUTEX_OWNER_DIED});
}

TEST_F(RobustListTest, AProcessWithoutAListIsRefused) {
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  ASSERT_NE(pid, -1);
  if (pid == 0) ::_exit(Hold(0).code() == absl::StatusCode::kFailedPrecondition && word(0) == 0 ? 0 : 1);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

struct HoldsAtItsEnd {
  ~HoldsAtItsEnd() { *result = HoldRobustFutex(*futex, memory); }
  RobustFutex* futex = nullptr;
  std::shared_ptr<const void> memory;
  absl::Status* result = nullptr;
};

TEST_F(RobustListTest, AThreadThatEndsCannotHoldAnymore) {
  absl::Status result;
  std::thread([&] {
    static thread_local HoldsAtItsEnd last;  // made first, so destroyed last
    last.futex = &shared_->futexes[1];
    last.memory = memory_;
    last.result = &result;
    ASSERT_THAT(Hold(0), IsOk());
  }).join();
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(word(1), 0u);
}

}  // namespace
}  // namespace ko::os
