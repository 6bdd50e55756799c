#include "ko/process/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "absl/base/config.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/rounds.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

namespace ko {
namespace {

using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;

class ForkTest : public testing::LeakCheckedTest {
 protected:
  // How a child with this body ends.
  static ExitStatus EndOf(ChildBody body, ForkOptions options = {}) {
    absl::StatusOr<Child> child = Fork(std::move(body), std::move(options));
    EXPECT_THAT(child, IsOk());
    if (!child.ok()) return ExitStatus::Unknown();
    absl::StatusOr<ExitStatus> status = child->Wait();
    EXPECT_THAT(status, IsOk());
    return status.value_or(ExitStatus::Unknown());
  }
};

// --- Every way to end ---

TEST_F(ForkTest, ReturnedCodeIsTheExitCode) {
  EXPECT_EQ(EndOf([] {}), ExitStatus::Exited(0));
  EXPECT_EQ(EndOf([] { return 0; }), ExitStatus::Exited(0));
  EXPECT_EQ(EndOf([] { return 7; }), ExitStatus::Exited(7));
  EXPECT_EQ(EndOf([] { return -1; }), ExitStatus::Exited(255));
  EXPECT_EQ(EndOf([] { return 256; }), ExitStatus::Exited(0));
}

TEST_F(ForkTest, SignalThatKillsIsTold) {
  for (const int signo : {SIGKILL, SIGSEGV, SIGTERM, SIGHUP, SIGRTMIN}) {
    const ExitStatus status = EndOf([signo] {
      const rlimit no_core = {0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      ::signal(signo, SIG_DFL);  // a sanitizer has its own handler for some
      ::kill(::getpid(), signo);
    });
    EXPECT_EQ(status, ExitStatus::Signaled(signo));
    EXPECT_THAT(status.ToStatus(), StatusIs(absl::StatusCode::kAborted, "killed by " + SignalName(signo)));
  }
}

TEST_F(ForkTest, CoreDumpIsTold) {
  const testing::TempDir folder;
  const auto dump = [&folder] {
    const rlimit core = {RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_CORE, &core) != 0 || ::chdir(folder.path().c_str()) != 0) ::_exit(1);
    ::signal(SIGQUIT, SIG_DFL);
    ::raise(SIGQUIT);
  };
  const testing::InChildResult plain = InChild(dump);
  if (!plain.core_dumped)
    GTEST_SKIP() << "this kernel dumps no core here: " << testing::ReadFile("/proc/sys/kernel/core_pattern");
  EXPECT_EQ(EndOf(dump), ExitStatus::Signaled(SIGQUIT, /*core_dumped=*/true));
}

TEST_F(ForkTest, AbortIsTold) {
  const ExitStatus status = EndOf([] {
    const rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::abort();
  });
  EXPECT_EQ(status, ExitStatus::Signaled(SIGABRT));
}

TEST_F(ForkTest, StatusReachesTheParentWithCodeAndMessage) {
  const ExitStatus status = EndOf([] { return absl::NotFoundError("no such table"); });
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_EQ(status.ToStatus(), absl::NotFoundError("no such table"));
  EXPECT_TRUE(EndOf([] { return absl::OkStatus(); }).ok());
}

TEST_F(ForkTest, UnderscoreExitIsTheExitCode) {
  EXPECT_EQ(EndOf([] { ::_exit(4); }), ExitStatus::Exited(4));
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(ForkTest, ExceptionReachesTheParentWithItsWhat) {
  const ExitStatus status = EndOf([]() -> int { throw std::runtime_error("the disk is full"); });
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_THAT(status.ToStatus(), StatusIs(absl::StatusCode::kUnknown, "exception: the disk is full"));
}

TEST_F(ForkTest, ExceptionOfAnotherTypeIsAFailureThatSaysSo) {
  const ExitStatus status = EndOf([] { throw 5; });
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_THAT(status.ToStatus(), StatusIs(absl::StatusCode::kUnknown, HasSubstr("no std::exception")));
}

TEST_F(ForkTest, ExceptionDoesNotEscapeIntoTheCallersFrames) {
  const testing::InChildResult result = InChild([] {
    try {
      EndOf([] { throw std::runtime_error("x"); });
    } catch (...) {
      std::printf("caught");
    }
  });
  EXPECT_EQ(result.out, "");
}
#endif

TEST_F(ForkTest, BodyRunsInAChildOfThisProcess) {
  Gate gate;
  const pid_t parent = ::getpid();
  absl::StatusOr<Child> child = Fork([&gate, parent] {
    gate.CloseOpener();
    gate.Pass();
    return ::getppid() == parent ? 0 : 1;
  });
  ASSERT_THAT(child, IsOk());
  EXPECT_NE(child->pid(), parent);
  EXPECT_EQ(testing::ReadProcessState(child->pid())->parent, parent);
  gate.Open();
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ForkTest, CapturesAreDestroyedInBothProcesses) {
  const testing::TempDir folder;
  const std::string path = folder.File("out");
  {
    std::ofstream stream(path);
    EXPECT_TRUE(EndOf([stream = std::move(stream)]() mutable { stream << "buffered in the stream"; }).ok());
  }
  EXPECT_EQ(testing::ReadFile(path), "buffered in the stream");
}

TEST_F(ForkTest, NestsToAnyDepth) {
  const ExitStatus status = EndOf([] {
    absl::StatusOr<Child> child = Fork([] {
      absl::StatusOr<Child> grandchild = Fork([] { return 42; });
      return grandchild->Wait()->exit_code().value_or(1);
    });
    return child->Wait()->exit_code().value_or(1);
  });
  EXPECT_EQ(status, ExitStatus::Exited(42));
}

TEST_F(ForkTest, EmptyBodiesAreRefused) {
  EXPECT_THAT(Fork(ChildBody()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Fork(static_cast<void (*)()>(nullptr)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Fork(std::function<int()>()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ForkTest, TryForkTellsARefusalAsAnEnd) {
  std::variant<Child, ExitStatus> result = TryFork(ChildBody());
  ASSERT_TRUE(std::holds_alternative<ExitStatus>(result));
  EXPECT_TRUE(std::get<ExitStatus>(result).start_error().has_value());
  EXPECT_THAT(std::get<ExitStatus>(result).ToStatus(), StatusIs(absl::StatusCode::kInvalidArgument));
}

// --- Set-up ---

TEST_F(ForkTest, SetupRunsBeforeTheBodyInTheChild) {
  int value = 1;
  ForkOptions options;
  options.setup = [&value] {
    value = 2;
    return absl::OkStatus();
  };
  EXPECT_EQ(EndOf([&value] { return value; }, std::move(options)), ExitStatus::Exited(2));
  EXPECT_EQ(value, 1);
}

TEST_F(ForkTest, SetupThatFailsEndsTheChildWithItsStatus) {
  ForkOptions options;
  options.setup = [] { return absl::UnavailableError("no port"); };
  const ExitStatus status = EndOf([] { return 0; }, std::move(options));
  EXPECT_EQ(status, ExitStatus::Exited(1));
  EXPECT_EQ(status.ToStatus(), absl::UnavailableError("no port"));
}

#ifdef ABSL_HAVE_EXCEPTIONS
TEST_F(ForkTest, SetupThatThrowsEndsTheChildWithItsWhat) {
  ForkOptions options;
  options.setup = []() -> absl::Status { throw std::runtime_error("no port"); };
  EXPECT_THAT(EndOf([] { return 0; }, std::move(options)).ToStatus(),
              StatusIs(absl::StatusCode::kUnknown, "exception: no port"));
}
#endif

// --- Output and exit handlers ---

TEST_F(ForkTest, OutputBufferedBeforeIsPrintedOnce) {
  const testing::TempDir folder;
  const std::string path = folder.File("own");
  const testing::InChildResult result = InChild([&path] {
    std::ios::sync_with_stdio(false);
    std::FILE* const own = std::fopen(path.c_str(), "w");
    std::printf("stdio ");
    std::cout << "cout ";
    std::clog << "clog ";
    std::fprintf(own, "own ");
    EXPECT_TRUE(EndOf([own] {
                  std::printf("child-stdio ");
                  std::cout << "child-cout ";
                  std::clog << "child-clog ";
                  std::fprintf(own, "child-own ");
                }).ok());
    std::fclose(own);
  });
  EXPECT_EQ(result.out, "stdio cout child-stdio child-cout ");
  EXPECT_EQ(result.err, "clog child-clog ");
  EXPECT_EQ(testing::ReadFile(path), "own child-own ");
}

TEST_F(ForkTest, StreamWithABufferOfTheProgramsOwnIsFlushed) {
  const testing::TempDir folder;
  const std::string path = folder.File("own");
  InChild([&path] {
    EXPECT_TRUE(EndOf([] {}).ok());  // with the buffers that the streams have at first
    std::ofstream file(path);
    std::streambuf* const before = std::cout.rdbuf(file.rdbuf());
    std::cout << "parent ";
    EXPECT_TRUE(EndOf([] { std::cout << "child "; }).ok());
    std::cout.rdbuf(before);
  });
  EXPECT_EQ(testing::ReadFile(path), "parent child ");
}

TEST_F(ForkTest, OutputIsFlushedHoweverTheBodyEnds) {
  const testing::InChildResult result = InChild([] {
    EndOf([] {
      std::printf("status ");
      return absl::NotFoundError("x");
    });
#ifdef ABSL_HAVE_EXCEPTIONS
    EndOf([] {
      std::printf("exception ");
      throw 1;
    });
#endif
    EndOf([] {
      std::printf("exit");
      std::exit(0);
    });
  });
#ifdef ABSL_HAVE_EXCEPTIONS
  EXPECT_EQ(result.out, "status exception exit");
#else
  EXPECT_EQ(result.out, "status exit");
#endif
}

struct SaysWhenDestroyed {
  ~SaysWhenDestroyed() {
    if (armed) std::printf("static-destructor ");
  }
  bool armed = false;
};

TEST_F(ForkTest, ParentsExitHandlersRunInTheParentOnly) {
  const testing::InChildResult result = InChild([] {
    static SaysWhenDestroyed destroyed_at_exit;
    destroyed_at_exit.armed = true;
    std::atexit([] { std::printf("atexit "); });
    EXPECT_EQ(EndOf([] { return 3; }), ExitStatus::Exited(3));
    EXPECT_EQ(EndOf([] { std::exit(3); }), ExitStatus::Exited(3));
    EXPECT_TRUE(EndOf([] {
                  std::atexit([] { std::printf("childs-atexit "); });
                  std::exit(0);
                }).ok());
    std::printf("parent ");
    std::exit(0);
  });
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "childs-atexit parent atexit static-destructor ");
}

TEST_F(ForkTest, WhatSetupRegisteredRunsAtExit) {
  const testing::InChildResult result = InChild([] {
    ForkOptions options;
    options.setup = [] {
      std::atexit([] { std::printf("registered-in-setup"); });
      return absl::OkStatus();
    };
    EndOf([] { std::exit(0); }, std::move(options));
  });
  EXPECT_EQ(result.out, "registered-in-setup");
}

TEST_F(ForkTest, GrandchildRunsNoExitHandlersOfItsAncestors) {
  // A child that forks has registered one exit handler of its own; its child must not run the parent's
  // either.
  const testing::InChildResult result = InChild([] {
    std::atexit([] { std::printf("outer"); });
    EndOf([] {
      std::atexit([] { std::printf("middle"); });
      EndOf([] { std::exit(0); });
      ::_exit(0);
    });
    ::_exit(0);
  });
  EXPECT_EQ(result.out, "");
}

// --- Threads ---

TEST_F(ForkTest, RefusedWhileAnotherThreadLivesUnlessAllowed) {
  std::promise<void> may_end;
  std::thread other([&may_end] { may_end.get_future().wait(); });
  EXPECT_THAT(Fork([] { return 0; }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("allow_threads")));
  EXPECT_EQ(EndOf([] { return 5; }, {.allow_threads = true}), ExitStatus::Exited(5));
  may_end.set_value();
  other.join();
  EXPECT_EQ(EndOf([] { return 6; }), ExitStatus::Exited(6));
}

TEST_F(ForkTest, ChildOfAThreadedProcessMayFork) {
  std::promise<void> may_end;
  std::thread other([&may_end] { may_end.get_future().wait(); });
  EXPECT_EQ(EndOf(
                [] {
                  absl::StatusOr<Child> child = Fork([] { return 5; });
                  return child.ok() ? *child->Wait()->exit_code() : 1;
                },
                {.allow_threads = true}),
            ExitStatus::Exited(5));
  may_end.set_value();
  other.join();
}

TEST_F(ForkTest, SeveralThreadsMayForkAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < testing::Rounds(50); ++i)
        EXPECT_EQ(EndOf([=] { return t * 50 + i; }, {.allow_threads = true}), ExitStatus::Exited(t * 50 + i));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// --- die_with_parent ---

TEST_F(ForkTest, ChildDiesWithAParentThatIsKilled) {
  Gate running, never;
  const testing::InChildResult result = InChild([&running, &never] {
    ForkOptions options;
    options.die_with_parent = true;
    absl::StatusOr<Child> child = Fork(
        [&running, &never] {
          running.Open();
          never.Pass();
        },
        std::move(options));
    running.Pass();
    std::printf("%d", child->pid());
    std::fflush(stdout);
    ::raise(SIGKILL);
  });
  EXPECT_EQ(result.term_signal, SIGKILL);
  const pid_t pid = std::stoi(result.out);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid) << "it is this process's child now";
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(ForkTest, ChildOutlivesItsParentWithoutTheOption) {
  Gate gate;
  const testing::InChildResult result = InChild([&gate] {
    absl::StatusOr<Child> child = Fork([&gate] { return gate.Pass() ? 8 : 9; });
    std::printf("%d", child->pid());
    std::fflush(stdout);
    ::raise(SIGKILL);
  });
  gate.Open();
  const pid_t pid = std::stoi(result.out);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 8);
}

// Each body holds the gate open for as long as it lives.
TEST_F(ForkTest, NoBodySurvivesAParentThatDiesAtOnce) {
  Gate held_by_bodies;
  for (int i = 0; i < testing::Rounds(300); ++i) {
    const pid_t parent = ::fork();
    if (parent == 0) {
      ForkOptions options;
      options.die_with_parent = true;
      absl::StatusOr<Child> child = Fork(
          [] {
            for (;;) ::pause();
          },
          std::move(options));
      ::kill(::getpid(), SIGKILL);
    }
    ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  }
  held_by_bodies.CloseOpener();
  EXPECT_FALSE(held_by_bodies.Pass()) << "returns when the last of them is gone";
  while (::waitpid(-1, nullptr, 0) > 0) continue;
}

}  // namespace
}  // namespace ko
