#include "ko/os/fork.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <variant>

#include "absl/base/config.h"
#include "absl/functional/function_ref.h"
#include "ko/os/c_library_fork.h"
#include "ko/os/fork_handlers.h"
#include "ko/os/pidfd.h"
#include "ko/os/signal_mask.h"
#include "ko/os/thread_id.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"

// A process that is made without the C library's fork is as one that is made by it: each test is run both ways. Nothing in
// this program registers handlers with the C library, or the first way would not be taken.

namespace ko::os {
namespace {

using testing::InChild;

enum class Way { kClone, kCLibrary };

class ForkTest : public testing::LeakCheckedTest, public ::testing::WithParamInterface<Way> {
 protected:
  // In a child of the test, which is left without clone3 where the C library is to fork.
  void InAWay(absl::FunctionRef<void()> run) {
    InChild([&] {
      if (GetParam() == Way::kCLibrary) testing::FailSyscall(SYS_clone3, ENOSYS);
      run();
    });
  }

  // How a child that ran `body` ended.
  static ChildEnd EndOf(absl::FunctionRef<int()> body) {
    std::variant<ForkedProcess, StartFailure> forked;
    {
      const ScopedAllSignalsBlocked blocked;
      forked = ForkWithPidfd(Handlers::kReset);
    }
    if (!std::holds_alternative<ForkedProcess>(forked)) {
      ADD_FAILURE() << std::get<StartFailure>(forked).stage;
      return {};
    }
    const auto& process = std::get<ForkedProcess>(forked);
    if (process.pid == 0) ::_exit(body());
    absl::StatusOr<std::optional<ChildEnd>> end = Reap(process.pidfd.get(), /*block=*/true);
    EXPECT_TRUE(end.ok() && end->has_value());
    return **end;
  }
  static void ExpectExit(int code, absl::FunctionRef<int()> body) {
    const ChildEnd end = EndOf(body);
    EXPECT_EQ(end.kind, ChildEnd::Kind::kExited);
    EXPECT_EQ(end.value, code);
  }
};

TEST_P(ForkTest, HandlersAreGoneAndIgnoredSignalsStayIgnored) {
  InAWay([] {
    ::signal(SIGTERM, [](int) {});
    ::signal(SIGRTMIN, [](int) {});
    ::signal(SIGHUP, SIG_IGN);
    ExpectExit(0, [] {
      struct sigaction hup;
      ::sigaction(SIGHUP, nullptr, &hup);
      // The address sanitizer has handlers of its own that it does not tell.
      struct sigaction term, real_time;
      ::sigaction(SIGTERM, nullptr, &term);
      ::sigaction(SIGRTMIN, nullptr, &real_time);
      return hup.sa_handler == SIG_IGN && term.sa_handler == SIG_DFL && real_time.sa_handler == SIG_DFL ? 0
                                                                                                        : 1;
    });
    struct sigaction term;
    ::sigaction(SIGTERM, nullptr, &term);
    EXPECT_NE(term.sa_handler, SIG_DFL);
  });
}

TEST_P(ForkTest, HandlersAreKeptWhereTheyAreToBe) {
  InAWay([] {
    ::signal(SIGTERM, [](int) {});
    std::variant<ForkedProcess, StartFailure> forked;
    {
      const ScopedAllSignalsBlocked blocked;
      forked = ForkWithPidfd(Handlers::kKept);
    }
    ASSERT_TRUE(std::holds_alternative<ForkedProcess>(forked));
    const auto& process = std::get<ForkedProcess>(forked);
    if (process.pid == 0) ::_exit(::raise(SIGTERM) == 0 ? 3 : 4);
    absl::StatusOr<std::optional<ChildEnd>> end = Reap(process.pidfd.get(), /*block=*/true);
    ASSERT_TRUE(end.ok() && end->has_value());
    EXPECT_EQ((*end)->kind, ChildEnd::Kind::kExited);
    EXPECT_EQ((*end)->value, 3);
  });
}

TEST_P(ForkTest, ThreadIdIsTheChilds) {
  InAWay([] {
    EXPECT_EQ(ThreadId(), ::gettid());
    ExpectExit(0, [] { return ThreadId() == ::gettid() && ::gettid() == ::getpid() ? 0 : 1; });
    const ChildEnd raised = EndOf([] { return ::raise(SIGUSR1); });
    EXPECT_EQ(raised.kind, ChildEnd::Kind::kSignaled);
    EXPECT_EQ(raised.value, SIGUSR1);
    const ChildEnd aborted = EndOf([]() -> int { std::abort(); });
    EXPECT_EQ(aborted.kind, ChildEnd::Kind::kSignaled);
    EXPECT_EQ(aborted.value, SIGABRT);
  });
}

TEST_P(ForkTest, LocksThreadsAndForksWorkInTheChild) {
  InAWay([] {
    ExpectExit(7, [] {
      std::recursive_mutex mutex;
      const std::lock_guard outer(mutex);
      const std::lock_guard inner(mutex);
      pthread_t thread;
      void* result = nullptr;
      if (::pthread_create(&thread, nullptr, [](void* p) { return p; }, &mutex) != 0) return 1;
      if (::pthread_join(thread, &result) != 0 || result != &mutex) return 2;
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(5);
      int status = 0;
      if (::waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 5) return 3;
      ExpectExit(6, [] { return 6; });
      return 7;
    });
  });
}

TEST_P(ForkTest, RobustMutexOfTheParentsIsNotTheChilds) {
  InAWay([] {
    pthread_mutexattr_t robust;
    ::pthread_mutexattr_init(&robust);
    ::pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_t mutex;
    ::pthread_mutex_init(&mutex, &robust);
    ::pthread_mutex_lock(&mutex);
    ExpectExit(0, [&robust] {
      pthread_mutex_t own;
      ::pthread_mutex_init(&own, &robust);
      return ::pthread_mutex_lock(&own) + ::pthread_mutex_unlock(&own);
    });
    EXPECT_EQ(::pthread_mutex_unlock(&mutex), 0);
    ::pthread_mutex_destroy(&mutex);
  });
}

// What the handlers below were called with, in this process.
int before = 0, in_parent = 0, in_child = 0;
ForkedFrom forked_from = {};

TEST_P(ForkTest, HandlersRunOnceInTheChildAndAroundTheCLibrarysFork) {
  InAWay([] {
    RegisterForkHandlers({[] { ++before; }, [] { ++in_parent; },
                          [](const ForkedFrom& from) {
                            ++in_child;
                            forked_from = from;
                            LetInAfterFork(SIGUSR2);
                          }});
    const pid_t process = ::getpid();
    const pid_t thread = ::gettid();
    ExpectExit(0, [process, thread] {
      sigset_t mask;
      ::sigfillset(&mask);
      LetInWhatWasHeldBack(mask);
      if (::sigismember(&mask, SIGUSR2) != 0 || ::sigismember(&mask, SIGUSR1) != 1) return 1;
      if (in_child != 1 || in_parent != 0) return 2;
      if (forked_from.process != process || forked_from.thread != thread) return 4;
      return forked_from.locked == (before == 1) ? 0 : 3;
    });
    const bool by_the_c_library = GetParam() == Way::kCLibrary || NeedsCLibraryFork();
    EXPECT_EQ(before, by_the_c_library ? 1 : 0);
    EXPECT_EQ(in_parent, before);
    EXPECT_EQ(in_child, 0);
  });
}

#if !defined(ABSL_HAVE_ADDRESS_SANITIZER) && !defined(ABSL_HAVE_MEMORY_SANITIZER) && \
    !defined(ABSL_HAVE_THREAD_SANITIZER)
TEST(NeedsCLibraryFork, IsFalseWhereNobodyRegistersHandlers) { EXPECT_FALSE(NeedsCLibraryFork()); }
#endif

TEST_P(ForkTest, ChildOfAProcessWhoseChildrenTheKernelReapsHasItsPidfd) {
  InAWay([] {
    ::signal(SIGCHLD, SIG_IGN);
    std::variant<ForkedProcess, StartFailure> forked;
    {
      const ScopedAllSignalsBlocked blocked;
      forked = ForkWithPidfd(Handlers::kReset);
    }
    ASSERT_TRUE(std::holds_alternative<ForkedProcess>(forked));
    const auto& process = std::get<ForkedProcess>(forked);
    if (process.pid == 0) ::_exit(0);
    absl::StatusOr<std::optional<ChildEnd>> end = Reap(process.pidfd.get(), /*block=*/true);
    EXPECT_TRUE(end.ok() && end->has_value());
  });
}

INSTANTIATE_TEST_SUITE_P(Ways, ForkTest, ::testing::Values(Way::kClone, Way::kCLibrary),
                         [](const auto& info) { return info.param == Way::kClone ? "Clone" : "CLibrary"; });

}  // namespace
}  // namespace ko::os
