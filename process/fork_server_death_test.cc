#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ko/process/fork.h"
#include "ko/process/fork_server.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"

// What a ForkServer does when one of those concerned dies, or when the kernel has nothing left to give.

namespace ko {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using testing::FailSyscall;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

int ReturnCode(int code) { return code; }
void Sleep() {
  for (;;) ::pause();
}

ForkServer StartWith(int spares, absl::AnyInvocable<absl::Status()> init = nullptr) {
  ForkServerOptions options;
  options.spares = spares;
  options.init = std::move(init);
  absl::StatusOr<ForkServer> server = ForkServer::Start(std::move(options));
  EXPECT_THAT(server, IsOk());
  if (!server.ok()) std::abort();
  return *std::move(server);
}

ExitStatus EndOfTask(const ForkServer& server, int code) {
  absl::StatusOr<Child> child = server.Fork<&ReturnCode>(code);
  EXPECT_THAT(child, IsOk());
  return child.ok() ? child->Wait().value_or(ExitStatus::Unknown()) : ExitStatus::Unknown();
}

int warmth = 0;
int ReadWarmth() { return warmth; }
absl::Status WarmUp() {
  ++warmth;
  return absl::OkStatus();
}

class ForkServerDeathTest : public testing::LeakCheckedTest {};

// --- The server's death ---

TEST_F(ForkServerDeathTest, ServerIsStartedAgainWithItsInit) {
  const ForkServer server = StartWith(0, WarmUp);
  for (int i = 0; i < 3; ++i) {
    const pid_t pid = server.pid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    testing::AwaitEnded(pid);
    absl::StatusOr<Child> child = server.Fork<&ReadWarmth>();
    ASSERT_THAT(child, IsOk());
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(1)));
    EXPECT_NE(server.pid(), pid);
  }
}

// Waits until the server's heir and spares are born.
void AwaitChildren(size_t count) {
  while (testing::Children().size() < count) std::this_thread::yield();
}

void KillChildren(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  for (const pid_t pid : pids) testing::AwaitEnded(pid);
}

class WithAnotherThread {
 public:
  ~WithAnotherThread() {
    may_end_.set_value();
    thread_.join();
  }

 private:
  std::promise<void> may_end_;
  std::thread thread_{[this] { may_end_.get_future().wait(); }};
};

TEST_F(ForkServerDeathTest, HeirTakesTheServersPlaceInAThreadedProgram) {
  for (const int spares : {0, 1}) {
    const ForkServer server = StartWith(spares, WarmUp);
    const WithAnotherThread another;
    for (int i = 0; i < testing::Rounds(30); ++i) {
      for (int times = 0; times < 2; ++times) {
        absl::StatusOr<Child> child = server.Fork<&ReadWarmth>();
        ASSERT_THAT(child, IsOk());
        EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(1))) << "init ran once";
      }
      const pid_t pid = server.pid();
      KillChildren({pid});
      EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
      EXPECT_NE(server.pid(), pid);
    }
  }
}

TEST_F(ForkServerDeathTest, NoHeirInAThreadedProgramIsAClearError) {
  const ForkServer server = StartWith(1);
  {
    const WithAnotherThread another;
    EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
    AwaitChildren(3);
    KillChildren(testing::Children());
    EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                      AllOf(HasSubstr("died"), HasSubstr("threads"))));
  }
  EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7)) << "it can be started again now";
}

TEST_F(ForkServerDeathTest, BlankChildrenThatWereKilledAreReplaced) {
  const ForkServer server = StartWith(2);
  for (int i = 0; i < 20; ++i) {
    // Where nobody was left to take the server's place, this starts another one.
    EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
    AwaitChildren(3);  // one of its spares may have been taken by the last task
    std::vector<pid_t> blank = testing::Children();
    std::erase(blank, server.pid());
    KillChildren(blank);
    EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
    KillChildren({server.pid()});
    EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
  }
}

TEST_F(ForkServerDeathTest, AfterTasksInARowTheSparesAreMade) {
  const ForkServer server = StartWith(2);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
  AwaitChildren(3);  // the server, its heir, at least half of the spares
}

// Somebody kills the server, and whatever else is there, over and over: each Fork gives a child that ends as it should, or
// was killed as well, or a clear status.
TEST_F(ForkServerDeathTest, NoForkHangsWhileServersAreKilledAtRandom) {
  InChild([] {
    testing::AdoptOrphans();
    for (const int spares : {0, 1, 3}) {
      const ForkServer server = StartWith(spares);
      const pid_t caller = ::getpid();
      absl::StatusOr<Child> killer = Fork(
          [caller] {
            std::minstd_rand random(1);
            for (;;) {
              ::usleep(random() % 2000);
              // The caller's children but this process: the server, spares, tasks.
              std::FILE* const list = std::fopen(
                  ("/proc/" + std::to_string(caller) + "/task/" + std::to_string(caller) + "/children")
                      .c_str(),
                  "r");
              std::vector<pid_t> pids;
              for (pid_t pid; list != nullptr && std::fscanf(list, "%d", &pid) == 1;) {
                if (pid != ::getpid()) pids.push_back(pid);
              }
              if (list != nullptr) std::fclose(list);
              if (!pids.empty()) ::kill(pids[random() % 3 == 0 ? random() % pids.size() : 0], SIGKILL);
            }
          },
          {.die_with_parent = true});
      for (int i = 0; i < testing::Rounds(150); ++i) {
        absl::StatusOr<Child> child = server.Fork<&ReturnCode>(7);
        if (!child.ok()) {
          EXPECT_THAT(child.status(),
                      AnyOf(StatusIs(absl::StatusCode::kUnavailable), StatusIs(absl::StatusCode::kAborted)));
          continue;
        }
        const ExitStatus status = child->Wait().value_or(ExitStatus::Unknown());
        EXPECT_THAT(status, AnyOf(ExitStatus::Exited(7), ExitStatus::Signaled(SIGKILL)));
      }
      killer->Kill(SIGKILL).IgnoreError();
      killer->Wait().IgnoreError();
      EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
    }
    EXPECT_EQ(testing::Children().size(), 0u) << "nothing is left";
  });
}

// --- The caller's death ---

TEST_F(ForkServerDeathTest, ServerAndSparesLeaveWhenTheCallerIsKilled) {
  for (const int spares : {0, 1, 8}) {
    const testing::InChildResult result = InChild([spares] {
      const ForkServer server = StartWith(spares);
      EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
      // A child that has copies of all the sockets does not keep them.
      absl::StatusOr<Child> holder = Fork(Sleep, {.die_with_parent = true});
      ::raise(SIGKILL);
    });
    EXPECT_EQ(result.term_signal, SIGKILL);
    while (::wait(nullptr) > 0) continue;  // all of them are this process's now
  }
}

TEST_F(ForkServerDeathTest, NothingIsLeftOfACallerThatIsKilledAtRandom) {
  std::minstd_rand random(1);
  for (int i = 0; i < testing::Rounds(100); ++i) {
    const pid_t caller = ::fork();
    if (caller == 0) {
      const ForkServer server = StartWith(i % 3);
      for (;;) EndOfTask(server, 7);
    }
    ::usleep(random() % 8000);
    ::kill(caller, SIGKILL);
    while (::wait(nullptr) > 0) continue;
  }
}

TEST_F(ForkServerDeathTest, TasksGoOnWhenTheServerHasGone) {
  absl::StatusOr<Child> child = StartWith(1).Fork<&Sleep>();
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(child->Stop(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

TEST_F(ForkServerDeathTest, ChildDiesWithItsCallerWhereAskedTo) {
  for (const bool die : {true, false}) {
    const testing::InChildResult result = InChild([die] {
      const ForkServer server = StartWith(1);
      absl::StatusOr<Child> child = server.ForkWith<&Sleep>({.die_with_parent = die});
      std::printf("%d", child->pid());
      std::fflush(stdout);
      ::raise(SIGKILL);
    });
    const pid_t pid = std::stoi(result.out);
    if (!die) ::kill(pid, SIGUSR1);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    // Where the caller died first, the child left before its body.
    const bool left = WIFEXITED(status) && WEXITSTATUS(status) == 127;
    EXPECT_TRUE(die ? left || WTERMSIG(status) == SIGKILL : WTERMSIG(status) == SIGUSR1) << status;
    while (::wait(nullptr) > 0) continue;
  }
}

// --- Nothing left to give ---

TEST_F(ForkServerDeathTest, NoProcessLeftIsUnavailable) {
  const auto leave_none = [] {
    FailSyscall(SYS_clone3, EAGAIN);  // in the server, whatever the caller's fork is made by
    return absl::OkStatus();
  };
  for (const int spares : {0, 2}) {
    const ForkServer server = StartWith(spares, leave_none);
    const auto fail = [&server] {
      EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("clone3")));
    };
    fail();
    const int fds = testing::CountDescriptors();
    for (int i = 0; i < 100; ++i) fail();
    EXPECT_LE(testing::CountDescriptors(), fds + 3) << "those of three blank children come and go";
    EXPECT_EQ(testing::Children().size(), 1u);
  }
}

TEST_F(ForkServerDeathTest, CallerWithoutDescriptorsIsResourceExhaustedAndLeavesNoChild) {
  const testing::InChildResult result = InChild([] {
    const ForkServer server = StartWith(0);
    EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));
    rlimit limit;
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t before = limit.rlim_cur;
    const size_t children = testing::Children().size();
    for (int i = 0; i < 3; ++i) {
      limit.rlim_cur = 100;
      ::setrlimit(RLIMIT_NOFILE, &limit);
      std::vector<int> others;
      for (int fd; (fd = ::dup(0)) >= 0;) others.push_back(fd);
      absl::StatusOr<Child> task = server.Fork<&ReturnCode>(7);  // by the descriptor that is kept for it
      const absl::Status status = server.Fork<&ReturnCode>(1).status();
      for (const int fd : others) ::close(fd);
      limit.rlim_cur = before;  // a sanitizer needs descriptors for its checks
      ::setrlimit(RLIMIT_NOFILE, &limit);
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
      EXPECT_THAT(task->Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
      EXPECT_EQ(testing::Children().size(), children);
      EXPECT_EQ(EndOfTask(server, 7), ExitStatus::Exited(7));  // keeps one again
    }
  });
  EXPECT_TRUE(result.ok()) << result.err;
}

// --- Many at once ---

TEST_F(ForkServerDeathTest, SeveralThreadsMayForkAtOnce) {
  for (const int spares : {0, 2}) {
    const ForkServer server = StartWith(spares);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([t, &server] {
        for (int i = 0; i < testing::Rounds(60); ++i) {
          const int code = (t * 31 + i) % 256;
          EXPECT_EQ(EndOfTask(server, code), ExitStatus::Exited(code));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(ForkServerDeathTest, ManyChildrenMayLiveAtOnce) {
  const ForkServer server = StartWith(1);
  std::vector<Child> children;
  for (int i = 0; i < 300; ++i) {
    absl::StatusOr<Child> child = server.Fork<&Sleep>();
    ASSERT_THAT(child, IsOk());
    children.push_back(*std::move(child));
  }
  for (Child& child : children) EXPECT_THAT(child.Kill(SIGTERM), IsOk());
  for (Child& child : children) EXPECT_THAT(child.Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGTERM)));
}

}  // namespace
}  // namespace ko
