#include "ko/os/process_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "ko/os/shared_mapping.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::os {
namespace {

using testing::AwaitEnded;
using testing::AwaitState;
using testing::InChild;

class ProcessTreeTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    MakePipe();
  }
  void TearDown() override {
    reader_.reset();
    writer_.reset();
    LeakCheckedTest::TearDown();
  }
  void MakePipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    reader_.reset(ends[0]);
    writer_.reset(ends[1]);
  }

  // A child of this process that is none of the test's own: it never comes back from `life`.
  static pid_t Start(absl::FunctionRef<void()> life) {
    const pid_t pid = ::fork();
    EXPECT_GE(pid, 0);
    if (pid == 0) {
      life();
      ::_exit(0);
    }
    return pid;
  }
  pid_t StartSession(absl::FunctionRef<void()> life) {
    return Start([&] {
      ::setsid();
      life();
    });
  }

  // In a process of the tree.
  void TellIAmThere() { EXPECT_EQ(::write(writer_.get(), "x", 1), 1); }
  void StayForEver() {
    TellIAmThere();
    for (;;) ::pause();
  }

  void AwaitThatAreThere(int count) {
    for (char byte; count > 0; --count) ASSERT_EQ(::read(reader_.get(), &byte, 1), 1);
  }
  // Every process of the tree has a copy of the pipe's end.
  void AwaitThatAllHaveEnded() {
    writer_.reset();
    testing::ReadAll(reader_.get());
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
  }

  UniqueFd reader_, writer_;
};

TEST_F(ProcessTreeTest, SignalReachesAllOfTheSessionWhateverTheirGroups) {
  const pid_t leader = StartSession([&] {
    Start([&] { StayForEver(); });
    Start([&] {
      ::setpgid(0, 0);
      Start([&] { StayForEver(); });
      StayForEver();
    });
    StayForEver();
  });
  AwaitThatAreThere(4);
  EXPECT_EQ(SignalSession(leader, 0), 4);
  EXPECT_EQ(SignalSession(leader, SIGTERM), 4);
  AwaitThatAllHaveEnded();
  EXPECT_EQ(SignalSession(leader, SIGTERM), 0);
}

TEST_F(ProcessTreeTest, DescendantsWithSessionsOfTheirOwnAreReached) {
  for (const int signo : {SIGTERM, SIGKILL}) {
    MakePipe();
    const pid_t leader = StartSession([&] {
      StartSession([&] {
        Start([&] {
          StartSession([&] { StayForEver(); });
          StayForEver();
        });
        StayForEver();
      });
      StayForEver();
    });
    AwaitThatAreThere(4);
    EXPECT_EQ(SignalSession(leader, signo), 4);
    AwaitThatAllHaveEnded();
  }
}

TEST_F(ProcessTreeTest, LeaderThatIsAZombieStillNamesItsSession) {
  const pid_t leader = StartSession([&] {
    Start([&] { StayForEver(); });
    Start([&] { StayForEver(); });
  });
  AwaitThatAreThere(2);
  AwaitEnded(leader);
  EXPECT_EQ(SignalSession(leader, SIGTERM), 2);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, ChildThatHasNotMadeItsSessionYetIsReachedWithItsDescendants) {
  const pid_t leader = Start([&] {
    Start([&] { StayForEver(); });
    StayForEver();
  });
  AwaitThatAreThere(2);
  EXPECT_EQ(SignalSession(leader, SIGKILL), 2);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, OthersAndTheCallerAreLeftAlone) {
  const pid_t other = StartSession([&] { StayForEver(); });
  AwaitThatAreThere(1);
  const auto result = InChild([&] {
    ::setsid();
    const pid_t child = Start([&] { StayForEver(); });
    AwaitThatAreThere(1);
    EXPECT_EQ(SignalSession(::getpid(), SIGKILL), 1) << "the caller is not one of them";
    ::waitpid(child, nullptr, 0);
  });
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(SignalSession(other, 0), 1);
  EXPECT_EQ(SignalSession(other, SIGKILL), 1);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, NumbersThatNameNoSessionReachNobody) {
  for (const pid_t nobody : {-1, 0, 1, 1 << 30}) {
    for (const int signo : {0, SIGTERM, SIGKILL}) EXPECT_EQ(SignalSession(nobody, signo), 0) << nobody;
  }
  EXPECT_EQ(SignalSessions({}, SIGKILL), 0);
}

TEST_F(ProcessTreeTest, NumberThatIsNoSignalReachesNobody) {
  const pid_t leader = StartSession([&] { StayForEver(); });
  AwaitThatAreThere(1);
  EXPECT_EQ(SignalSession(leader, 1000), 0);
  EXPECT_EQ(SignalSession(leader, -1), 0);
  EXPECT_EQ(SignalSession(leader, SIGKILL), 1);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, ManySessionsAreReachedAtOnce) {
  std::vector<pid_t> leaders;
  for (int i = 0; i < 5; ++i) {
    leaders.push_back(StartSession([&] {
      Start([&] { StayForEver(); });
      StayForEver();
    }));
  }
  AwaitThatAreThere(10);
  EXPECT_EQ(SignalSessions(leaders, SIGTERM), 10);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, ThoseThatIgnoreSignalsOrAreStoppedAreKilled) {
  const pid_t leader = StartSession([&] {
    ::signal(SIGTERM, SIG_IGN);
    Start([&] {
      TellIAmThere();
      ::raise(SIGSTOP);
    });
    StayForEver();
  });
  AwaitThatAreThere(2);
  EXPECT_EQ(SignalSession(leader, SIGTERM), 2);
  EXPECT_EQ(SignalSession(leader, SIGKILL), 2);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, ProcessWhoseFirstThreadHasEndedIsKilled) {
  const pid_t leader = StartSession([&] {
    std::thread([&] { StayForEver(); }).detach();
    ::syscall(SYS_exit, 0);  // this thread alone
  });
  AwaitThatAreThere(1);
  AwaitState(leader, 'Z');
  EXPECT_EQ(SignalSession(leader, SIGKILL), 1);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, ProcessThatWaitsForItsVforkedChildIsKilledWithIt) {
  const pid_t leader = StartSession([&] {
    // Not by vfork(), which the thread sanitizer makes a fork that waits for nobody.
    if (::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, nullptr) == 0) {
      TellIAmThere();
      for (;;) ::pause();
    }
  });
  AwaitThatAreThere(1);
  EXPECT_EQ(SignalSession(leader, SIGKILL), 2);
  AwaitThatAllHaveEnded();
}

// Goes on in a new process all the time, so that none is found where it was seen.
[[noreturn]] void Flee(bool with_groups) {
  for (;;) {
    if (with_groups) ::setpgid(0, 0);
    if (::fork() > 0) ::_exit(0);
  }
}

TEST_F(ProcessTreeTest, ProcessesThatForkAndEndAllTheTimeAreKilled) {
  for (const bool with_groups : {false, true}) {
    const auto result = InChild([&] {
      ::signal(SIGHUP, SIG_IGN);  // which they get where their parents end while they are stopped
      MakePipe();
      testing::AdoptOrphans();
      ::signal(SIGCHLD, SIG_IGN);  // nobody has to reap them
      const pid_t leader = StartSession([&] {
        ::signal(SIGCHLD, SIG_IGN);
        for (int i = 0; i < 3; ++i) {
          Start([&] {
            TellIAmThere();
            Flee(with_groups);
          });
        }
        StayForEver();
      });
      AwaitThatAreThere(4);
      EXPECT_GE(SignalSession(leader, SIGKILL), 4);
      AwaitThatAllHaveEnded();
    });
    EXPECT_TRUE(result.ok());
  }
}

// Forks as long as there are fewer than a number of processes, each in a group of its own.
[[noreturn]] void Multiply(std::atomic<int>& count) {
  ::setpgid(0, 0);
  for (;;) {
    if (count.fetch_add(1, std::memory_order_relaxed) < 64 && ::fork() == 0) {
      ::setpgid(0, 0);
    } else {
      count.fetch_sub(1, std::memory_order_relaxed);
      ::sched_yield();
    }
  }
}

TEST_F(ProcessTreeTest, ForkBombIsKilled) {
  absl::StatusOr<SharedMapping> page = SharedMapping::Create(4096);
  ASSERT_TRUE(page.ok());
  auto* const count = new (page->data()) std::atomic<int>(0);
  const pid_t leader = StartSession([&] {
    TellIAmThere();
    Multiply(*count);
  });
  AwaitThatAreThere(1);
  EXPECT_GE(SignalSession(leader, SIGKILL), 1);
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, WithoutProcItIsTheLeadersGroup) {
  const pid_t leader = StartSession([&] {
    Start([&] { StayForEver(); });
    StayForEver();
  });
  AwaitThatAreThere(2);
  InChild([&] {
    testing::FailSyscall(SYS_readlink, ENOENT);
    EXPECT_EQ(SignalSession(::getpgrp(), SIGKILL), 0) << "not the caller";
    EXPECT_EQ(SignalSession(leader, SIGKILL), 1);
  });
  AwaitThatAllHaveEnded();
}

TEST_F(ProcessTreeTest, WithoutDescriptorsItIsTheLeadersGroup) {
  const pid_t leader = StartSession([&] {
    Start([&] { StayForEver(); });
    StayForEver();
  });
  AwaitThatAreThere(2);
  InChild([&] {
    const rlimit none = {0, 0};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_EQ(SignalSession(leader, SIGTERM), 1);
  });
  AwaitThatAllHaveEnded();
}

}  // namespace
}  // namespace ko::os
