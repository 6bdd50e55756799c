#include "ko/process/daemonize.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "ko/os/shared_mapping.h"
#include "ko/testing/fail_syscall.h"
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

using ::testing::AllOf;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::InChildResult;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

// Each test plays the launching command in a child; the daemon that comes of it is this process's child in
// the end, as orphans are adopted, and is waited for.
class DaemonizeTest : public testing::LeakCheckedTest {
 protected:
  // Longer than any of these daemons lives; it ends one that a dying test leaves.
  static constexpr unsigned kWatchdogSeconds = 60;

  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(sizeof(std::atomic<pid_t>));
    ASSERT_THAT(mapping, IsOk());
    mapping_ = *std::move(mapping);
  }
  void TearDown() override {
    mapping_ = os::SharedMapping();
    LeakCheckedTest::TearDown();
  }

  using DaemonBody = absl::FunctionRef<void(DaemonLaunch)>;

  // The launching command's life: Daemonize, and `daemon` in the daemon, which exits with 0 after it. Where
  // Daemonize fails the command prints the error and exits with 2.
  void Command(DaemonOptions options, DaemonBody daemon) {
    absl::StatusOr<DaemonLaunch> launch = Daemonize(std::move(options));
    if (!launch.ok()) {
      std::fprintf(stderr, "%s", launch.status().ToString().c_str());
      ::_exit(2);
    }
    ::alarm(kWatchdogSeconds);
    daemon_pid().store(::getpid(), std::memory_order_relaxed);
    daemon(*std::move(launch));
    ::_exit(0);
  }

  InChildResult Launch(DaemonOptions options, DaemonBody daemon) {
    return InChild([&] { Command(std::move(options), daemon); });
  }

  std::atomic<pid_t>& daemon_pid() { return *static_cast<std::atomic<pid_t>*>(mapping_.data()); }

  // How the daemon ended, as wait(2) tells it.
  int AwaitDaemon() {
    int status = -1;
    EXPECT_EQ(::waitpid(daemon_pid().load(std::memory_order_relaxed), &status, 0),
              daemon_pid().load(std::memory_order_relaxed));
    return status;
  }
  void ExpectDaemonExitsWith(int code) {
    const int status = AwaitDaemon();
    EXPECT_TRUE(WIFEXITED(status)) << "status " << status;
    EXPECT_EQ(WEXITSTATUS(status), code);
  }
  void ExpectDaemonKilledBy(int signo) {
    const int status = AwaitDaemon();
    EXPECT_TRUE(WIFSIGNALED(status)) << "status " << status;
    EXPECT_EQ(WTERMSIG(status), signo);
  }

  // For a daemon that may have ended before it could tell its pid.
  static void ExpectOnlyChildKilledBy(int signo) {
    int status = -1;
    EXPECT_GT(::waitpid(-1, &status, 0), 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "status " << status;
    EXPECT_EQ(WTERMSIG(status), signo);
  }

  static std::string Target(int fd) {
    std::error_code error;
    return std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", fd), error).string();
  }

 private:
  os::SharedMapping mapping_;
};

// --- What the daemon is ---

TEST_F(DaemonizeTest, DaemonHasASessionOfItsOwnThatItDoesNotLead) {
  const pid_t launchers_session = ::getsid(0);
  const InChildResult launcher = Launch({}, [&](DaemonLaunch launch) {
    EXPECT_NE(::getsid(0), launchers_session);
    EXPECT_NE(::getsid(0), ::getpid());
    EXPECT_NE(::getpgrp(), ::getpid());
    EXPECT_LT(::open("/dev/tty", O_RDWR), 0) << "it has no terminal";
    EXPECT_THAT(launch.Ready(), IsOk());
  });
  EXPECT_EQ(launcher.exit_code, 0);
  EXPECT_EQ(launcher.out, "");
  EXPECT_EQ(launcher.err, "");
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, DefaultsAreRootFolderOrdinaryUmaskAndDevNull) {
  const InChildResult launcher = InChild([&] {
    ::umask(077);
    Command({}, [](DaemonLaunch launch) {
      EXPECT_EQ(std::filesystem::current_path(), "/");
      EXPECT_EQ(::umask(0), mode_t{022});
      for (int fd = 0; fd < 3; ++fd) EXPECT_EQ(Target(fd), "/dev/null") << fd;
      EXPECT_THAT(launch.Ready(), IsOk());
    });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, OptionsSetFolderAndUmask) {
  const TempDir folder;
  const InChildResult launcher =
      Launch({.working_directory = folder.path(), .umask = 0137}, [&](DaemonLaunch launch) {
        EXPECT_EQ(std::filesystem::current_path(), folder.path());
        EXPECT_EQ(::umask(0), mode_t{0137});
        EXPECT_THAT(launch.Ready(), IsOk());
      });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, LogFileIsAppendedToAndRelativeToTheLaunchingCommand) {
  const TempDir folder;
  const std::string log = folder.Write("log", "before\n");
  const InChildResult launcher = InChild([&] {
    EXPECT_EQ(::chdir(folder.path().c_str()), 0);
    Command({.log_file = "log", .pid_file = "pid"}, [&](DaemonLaunch launch) {
      EXPECT_EQ(Target(0), "/dev/null");
      std::printf("out\n");
      std::fflush(stdout);
      std::fprintf(stderr, "err\n");
      EXPECT_THAT(launch.Ready(), IsOk());
    });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  EXPECT_EQ(launcher.out, "");
  ExpectDaemonExitsWith(0);
  EXPECT_EQ(testing::ReadFile(log), "before\nout\nerr\n");
  EXPECT_EQ(testing::ReadFile(folder.File("pid")), absl::StrCat(daemon_pid().load(), "\n"));
}

TEST_F(DaemonizeTest, FilesAreCreatedForTheirUsersOnly) {
  const TempDir folder;
  const std::string log = folder.File("log"), pid = folder.File("pid");
  const InChildResult launcher = InChild([&] {
    ::umask(0);
    Command({.log_file = log, .pid_file = pid},
            [](DaemonLaunch launch) { EXPECT_THAT(launch.Ready(), IsOk()); });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
  struct stat file;
  ASSERT_EQ(::stat(log.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0640u);
  ASSERT_EQ(::stat(pid.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0644u);
}

TEST_F(DaemonizeTest, HandlersMaskAndIgnoredSignalsAreKept) {
  const InChildResult launcher = InChild([&] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGUSR1, [](int) {});
    std::vector<uint64_t> before, in_daemon;
    for (const char* name : {"SigBlk", "SigIgn", "SigCgt"})
      before.push_back(testing::SignalSet(::getpid(), name));
    Command({}, [&](DaemonLaunch launch) {
      for (const char* name : {"SigBlk", "SigIgn", "SigCgt"}) {
        in_daemon.push_back(testing::SignalSet(::getpid(), name));
      }
      EXPECT_EQ(in_daemon, before);
      EXPECT_THAT(launch.Ready(), IsOk());
    });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, OnlyThePidFileStaysOpenOnceItIsReady) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid");
  // What a failed expectation says after Ready has nobody to read it, hence the exit code.
  const InChildResult launcher = Launch({.pid_file = pid_file}, [&](DaemonLaunch launch) {
    if (!launch.Ready().ok()) ::_exit(1);
    std::vector<std::string> more;
    for (int fd = 3; fd < 100; ++fd) {
      const std::string target = Target(fd);
      if (!target.empty() && target.rfind("/memfd:", 0) != 0) more.push_back(target);
    }
    ::_exit(more == std::vector<std::string>{pid_file} ? 7 : 1);
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(7);
}

TEST_F(DaemonizeTest, WorksWhereTheLauncherHasNoStandardStreams) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid"), log = folder.File("log");
  const InChildResult launcher = InChild([&] {
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    Command({.log_file = log, .pid_file = pid_file}, [&](DaemonLaunch launch) {
      EXPECT_EQ(Target(0), "/dev/null");
      EXPECT_EQ(Target(1), log);
      EXPECT_EQ(Target(2), log);
      EXPECT_EQ(testing::ReadFile(pid_file), absl::StrCat(::getpid(), "\n"));
      EXPECT_THAT(launch.Ready(), IsOk());
    });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
}

// --- The launching command's end ---

TEST_F(DaemonizeTest, ReadyEndsTheLauncherWhileTheDaemonGoesOn) {
  Gate gate;
  const InChildResult launcher = Launch({}, [&gate](DaemonLaunch launch) {
    launch.Ready().IgnoreError();
    gate.CloseOpener();
    gate.Pass();
  });
  EXPECT_EQ(launcher.exit_code, 0);
  EXPECT_EQ(testing::ReadProcessState(daemon_pid())->parent, ::getpid());
  gate.Open();
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, FailIsPrintedAndTheLauncherExitsWithOne) {
  const InChildResult launcher =
      Launch({}, [](DaemonLaunch launch) { EXPECT_THAT(launch.Fail("no database\nat all"), IsOk()); });
  EXPECT_EQ(launcher.exit_code, 1);
  EXPECT_EQ(launcher.err, "no database\nat all\n");
  EXPECT_EQ(launcher.out, "");
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, LongReasonIsCutAndAnEmptyOneIsStillAFailure) {
  const std::string why(20'000, 'x');
  const InChildResult launcher =
      Launch({}, [&why](DaemonLaunch launch) { EXPECT_THAT(launch.Fail(why), IsOk()); });
  EXPECT_EQ(launcher.exit_code, 1);
  EXPECT_GT(launcher.err.size(), 4000u);
  EXPECT_EQ(launcher.err, why.substr(0, launcher.err.size() - 1) + "\n");
  ExpectDaemonExitsWith(0);
  EXPECT_EQ(Launch({}, [](DaemonLaunch launch) { EXPECT_THAT(launch.Fail(""), IsOk()); }).exit_code, 1);
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, DaemonThatEndsBeforeItIsReadyIsAFailure) {
  const std::vector<void (*)()> ends = {[] { ::raise(SIGKILL); }, [] { ::_exit(0); }, [] { std::exit(0); }};
  for (const auto end : ends) {
    const InChildResult launcher = Launch({}, [end](DaemonLaunch) { end(); });
    EXPECT_EQ(launcher.exit_code, 1);
    EXPECT_EQ(launcher.err, "the daemon ended before it was ready\n");
    AwaitDaemon();
  }
}

TEST_F(DaemonizeTest, DaemonsEndIsSeenThoughItsChildHoldsTheConnection) {
  Gate gate;
  const InChildResult launcher = Launch({}, [&gate](DaemonLaunch) {
    gate.CloseOpener();
    if (::fork() == 0) {
      gate.Pass();  // lives on, with a copy of the connection
      ::_exit(0);
    }
    ::_exit(5);
  });
  EXPECT_EQ(launcher.exit_code, 1);
  EXPECT_EQ(launcher.err, "the daemon ended before it was ready\n");
  ExpectDaemonExitsWith(5);
  gate.Open();
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
}

TEST_F(DaemonizeTest, DroppedLaunchIsAFailureThoughAChildHoldsTheConnection) {
  Gate gate;
  const InChildResult launcher = Launch({}, [&gate](DaemonLaunch launch) {
    gate.CloseOpener();
    if (::fork() == 0) {
      gate.Pass();
      ::_exit(0);
    }
    {
      const DaemonLaunch dropped = std::move(launch);
    }
    gate.Pass();
  });
  EXPECT_EQ(launcher.exit_code, 1);
  gate.Open();
  gate.Open();
  ExpectDaemonExitsWith(0);
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
}

TEST_F(DaemonizeTest, DaemonThatIsNotReadyInTimeIsEnded) {
  const InChildResult launcher = Launch({.ready_timeout = absl::Milliseconds(30)}, [](DaemonLaunch) {
    for (;;) ::pause();
  });
  EXPECT_EQ(launcher.exit_code, 1);
  EXPECT_THAT(launcher.err, HasSubstr("not ready within 30ms"));
  ExpectOnlyChildKilledBy(SIGTERM);
}

TEST_F(DaemonizeTest, DaemonThatIsNotReadyInTimeAndIgnoresSigtermIsKilled) {
  const InChildResult launcher = InChild([&] {
    ::signal(SIGTERM, SIG_IGN);
    Command({.ready_timeout = absl::Milliseconds(30)}, [](DaemonLaunch) {
      for (;;) ::pause();
    });
  });
  EXPECT_EQ(launcher.exit_code, 1);
  ExpectOnlyChildKilledBy(SIGKILL);
}

TEST_F(DaemonizeTest, DaemonIsEndedHoweverShortItsTimeIs) {
  for (int i = 0; i < testing::Rounds(100); ++i) {
    const InChildResult launcher = Launch({.ready_timeout = absl::ZeroDuration()}, [](DaemonLaunch) {
      for (;;) ::pause();
    });
    EXPECT_EQ(launcher.exit_code, 1);
    ExpectOnlyChildKilledBy(SIGTERM);
  }
}

TEST_F(DaemonizeTest, KilledLauncherLeavesADaemonThatStarts) {
  Gate running, go;
  const pid_t launcher = ::fork();
  if (launcher == 0) {
    Command({}, [&](DaemonLaunch launch) {
      running.Open();
      go.Pass();
      ::_exit(launch.Ready().ok() ? 0 : 1);
    });
  }
  ASSERT_TRUE(running.Pass());
  ::kill(launcher, SIGKILL);
  ASSERT_EQ(::waitpid(launcher, nullptr, 0), launcher);
  go.Open();
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, LauncherObeysSigtermWhateverTheProgramHandles) {
  Gate running, go;
  const pid_t launcher = ::fork();
  if (launcher == 0) {
    ::signal(SIGTERM, [](int) {});
    Command({}, [&](DaemonLaunch) {
      running.Open();
      go.Pass();
    });
  }
  ASSERT_TRUE(running.Pass());
  ::kill(launcher, SIGTERM);
  int status;
  ASSERT_EQ(::waitpid(launcher, &status, 0), launcher);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  go.Open();
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, OutputBufferedBeforeIsPrintedOnceByTheLauncher) {
  const TempDir folder;
  const std::string log = folder.File("log");
  const InChildResult launcher = InChild([&] {
    std::ios::sync_with_stdio(false);
    std::printf("stdio ");
    std::cout << "cout ";
    std::atexit([] { std::printf("never: the launcher leaves by _exit"); });
    Command({.log_file = log}, [](DaemonLaunch launch) {
      launch.Ready().IgnoreError();
      std::fflush(nullptr);
      std::cout.flush();
    });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  EXPECT_EQ(launcher.out, "stdio cout ");
  ExpectDaemonExitsWith(0);
  EXPECT_EQ(testing::ReadFile(log), "");
}

// --- DaemonLaunch ---

TEST_F(DaemonizeTest, LaunchIsToldOnce) {
  const InChildResult launcher = Launch({}, [](DaemonLaunch launch) {
    DaemonLaunch moved = std::move(launch);
    EXPECT_THAT(launch.Ready(), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(InChild([&moved] {
                  EXPECT_THAT(moved.Ready(), StatusIs(absl::StatusCode::kFailedPrecondition));
                  EXPECT_THAT(moved.Fail("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
                }).ok());
    const bool first = moved.Ready().ok();
    const bool refused =
        absl::IsFailedPrecondition(moved.Ready()) && absl::IsFailedPrecondition(moved.Fail("x"));
    ::_exit(first && refused ? 6 : 1);
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(6);
}

// --- One instance ---

TEST_F(DaemonizeTest, SecondInstanceIsRefusedInTheLauncherWhileTheFirstLives) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid");
  Gate gate;
  EXPECT_EQ(Launch({.pid_file = pid_file},
                   [&gate](DaemonLaunch launch) {
                     launch.Ready().IgnoreError();
                     gate.CloseOpener();
                     gate.Pass();
                   })
                .exit_code,
            0);
  const std::string first = absl::StrCat(daemon_pid().load());
  const InChildResult second = InChild([&] {
    testing::FailFork(EPERM);  // it must not come to that
    EXPECT_THAT(Daemonize({.pid_file = pid_file}),
                StatusIs(absl::StatusCode::kAlreadyExists, AllOf(HasSubstr(first), HasSubstr(pid_file))));
  });
  EXPECT_TRUE(second.ok());
  EXPECT_EQ(testing::ReadFile(pid_file), first + "\n") << "as it was";
  gate.Open();
  ExpectDaemonExitsWith(0);
}

TEST_F(DaemonizeTest, SecondInstanceThatSlippedThroughIsRefusedInTheDaemon) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid");
  Gate gate;
  EXPECT_EQ(Launch({.pid_file = pid_file},
                   [&gate](DaemonLaunch launch) {
                     launch.Ready().IgnoreError();
                     gate.CloseOpener();
                     gate.Pass();
                   })
                .exit_code,
            0);
  const InChildResult second = InChild([&] {
    testing::FailSyscall(SYS_fcntl, EINVAL,
                         testing::ArgumentMatch{.index = 1, .mask = ~0u, .value = F_GETLK});
    Command({.pid_file = pid_file}, [](DaemonLaunch) { ADD_FAILURE() << "two instances"; });
  });
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("already running"));
  EXPECT_EQ(testing::ReadFile(pid_file), absl::StrCat(daemon_pid().load(), "\n"));
  gate.Open();
  ExpectDaemonExitsWith(0);
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0) << "the second one's remains";
}

TEST_F(DaemonizeTest, OfManyStartedAtOnceOneBecomesTheDaemon) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid");
  for (int round = 0; round < 10; ++round) {
    Gate start, stop;
    std::vector<pid_t> launchers;
    for (int i = 0; i < 6; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::close(2);
        start.CloseOpener();
        stop.CloseOpener();
        start.Pass();
        Command({.pid_file = pid_file}, [&](DaemonLaunch launch) {
          launch.Ready().IgnoreError();
          stop.Pass();
        });
      }
      launchers.push_back(pid);
    }
    start.CloseOpener();
    int started = 0;
    for (const pid_t pid : launchers) {
      int status;
      ASSERT_EQ(::waitpid(pid, &status, 0), pid);
      ASSERT_TRUE(WIFEXITED(status));
      if (WEXITSTATUS(status) == 0) ++started;
    }
    EXPECT_EQ(started, 1) << "in round " << round;
    EXPECT_EQ(testing::ReadFile(pid_file), absl::StrCat(daemon_pid().load(), "\n"));
    stop.CloseOpener();
    while (::waitpid(-1, nullptr, 0) > 0) continue;
  }
}

TEST_F(DaemonizeTest, NextInstanceStartsAfterAKillThoughAChildOfTheFirstLives) {
  const TempDir folder;
  const std::string pid_file = folder.File("pid");
  Gate gate;
  EXPECT_EQ(Launch({.pid_file = pid_file},
                   [&gate](DaemonLaunch launch) {
                     gate.CloseOpener();
                     if (::fork() == 0) {
                       gate.Pass();  // with a copy of the descriptor that is locked
                       ::_exit(0);
                     }
                     launch.Ready().IgnoreError();
                     for (;;) ::pause();
                   })
                .exit_code,
            0);
  ASSERT_EQ(::kill(daemon_pid(), SIGKILL), 0);
  ExpectDaemonKilledBy(SIGKILL);
  EXPECT_EQ(
      Launch({.pid_file = pid_file}, [](DaemonLaunch launch) { launch.Ready().IgnoreError(); }).exit_code, 0);
  EXPECT_EQ(testing::ReadFile(pid_file), absl::StrCat(daemon_pid().load(), "\n"));
  ExpectDaemonExitsWith(0);
  gate.Open();
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
}

// --- What is refused in the launching process ---

TEST_F(DaemonizeTest, FilesThatCannotBeOpenedAreErrorsBeforeAnyFork) {
  const TempDir folder;
  const std::string target = folder.Write("target", "precious");
  const std::string link = folder.File("link");
  ASSERT_EQ(::symlink(target.c_str(), link.c_str()), 0);
  InChild([&] {
    testing::FailFork(EPERM);
    EXPECT_THAT(Daemonize({.working_directory = "/no/such/folder"}),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder")));
    EXPECT_FALSE(Daemonize({.working_directory = target}).ok());
    EXPECT_THAT(Daemonize({.log_file = "/no/such/folder/log"}),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/log")));
    EXPECT_THAT(Daemonize({.pid_file = "/no/such/folder/pid"}),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/pid")));
    EXPECT_THAT(Daemonize({.log_file = link}).status().message(), HasSubstr("[ELOOP]"));
    EXPECT_THAT(Daemonize({.pid_file = link}).status().message(), HasSubstr("[ELOOP]"));
  });
  EXPECT_EQ(testing::ReadFile(target), "precious");
}

TEST_F(DaemonizeTest, PathsWithANulByteAreRefused) {
  const std::string nul("/tmp/a\0b", 8);
  InChild([&] {
    testing::FailFork(EPERM);
    EXPECT_THAT(Daemonize({.working_directory = nul}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(Daemonize({.log_file = nul}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(Daemonize({.pid_file = nul}), StatusIs(absl::StatusCode::kInvalidArgument));
  });
}

TEST_F(DaemonizeTest, OtherThreadsAreRefused) {
  InChild([] {
    std::promise<void> may_end;
    std::thread other([&may_end] { may_end.get_future().wait(); });
    EXPECT_THAT(Daemonize(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("threads")));
    may_end.set_value();
    other.join();
  });
}

TEST_F(DaemonizeTest, ForkThatFailsIsAnErrorThatLeavesNothing) {
  const TempDir folder;
  InChild([&] {
    testing::FailFork(EAGAIN);
    const testing::ResourceSnapshot before = testing::ResourceSnapshot::Take();
    EXPECT_THAT(Daemonize({.log_file = folder.File("log"), .pid_file = folder.File("pid")}),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fork")));
    EXPECT_EQ(testing::ResourceSnapshot::Take().ChangesSince(before), "");
  });
}

TEST_F(DaemonizeTest, StepThatFailsInTheDaemonIsPrintedByTheLauncher) {
  for (const auto& [number, stage] :
       {std::pair<long, const char*>{SYS_setsid, "setsid"}, {SYS_fchdir, "fchdir"}}) {
    const InChildResult launcher = InChild([&, number = number] {
      testing::FailSyscall(number, EPERM);
      Command({}, [](DaemonLaunch) { ADD_FAILURE() << "it came through"; });
    });
    EXPECT_EQ(launcher.exit_code, 1);
    EXPECT_THAT(launcher.err, HasSubstr(stage));
    while (::waitpid(-1, nullptr, 0) > 0) continue;
  }
}

TEST_F(DaemonizeTest, IgnoredSigchldIsNoHindrance) {
  const InChildResult launcher = InChild([&] {
    ::signal(SIGCHLD, SIG_IGN);
    Command({}, [](DaemonLaunch launch) { EXPECT_THAT(launch.Ready(), IsOk()); });
  });
  EXPECT_EQ(launcher.exit_code, 0);
  ExpectDaemonExitsWith(0);
}

}  // namespace
}  // namespace ko
