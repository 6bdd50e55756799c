#include "ko/process/exec.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/testing/fail_syscall.h"
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
using testing::ArgumentMatch;
using testing::FailSyscall;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using testing::StatusIs;
using testing::TempDir;

// What a program prints on its standard output until it ends, which has to be with success.
std::string OutputOf(Command command) {
  command.stdout_to = Stdio::Pipe();
  absl::StatusOr<Child> child = Exec(command);
  EXPECT_THAT(child, IsOk());
  if (!child.ok()) return "";
  std::string output = testing::ReadAll(child->stdout_fd());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  return output;
}

// A program that does nothing until CloseStdin.
absl::StatusOr<Child> StartIdle(Command settings = {}) {
  settings.argv = {"cat"};
  settings.stdin_from = Stdio::Pipe();
  return Exec(settings);
}

class ExecTest : public testing::LeakCheckedTest {};

// --- The program and its end ---

TEST_F(ExecTest, TellsExitCodeAndSignal) {
  EXPECT_THAT(Exec({.argv = {"true"}})->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  EXPECT_THAT(Exec({.argv = {"sh", "-c", "exit 7"}})->Wait(), IsOkAndHolds(ExitStatus::Exited(7)));
  EXPECT_THAT(Exec({.argv = {"sh", "-c", "kill -KILL $$"}})->Wait(),
              IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  EXPECT_THAT(Exec({.argv = {"sh", "-c", "exit 127"}})->Wait(), IsOkAndHolds(ExitStatus::Exited(127)));
}

TEST_F(ExecTest, ArgumentsArriveAsTheyAre) {
  EXPECT_EQ(OutputOf({.argv = {"printf", "[%s]", "", "a b", "*", "$HOME", "\xff\n"}}),
            "[][a b][*][$HOME][\xff\n]");
}

TEST_F(ExecTest, RunsAsAChildOfThisProcess) {
  absl::StatusOr<Child> child = StartIdle();
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(testing::ReadProcessState(child->pid())->parent, ::getpid());
  EXPECT_EQ(testing::ReadFile(absl::StrCat("/proc/", child->pid(), "/comm")), "cat\n")
      << "it is the program by now";
  EXPECT_EQ(testing::ReadProcessState(child->pid())->session, ::getsid(0));
  EXPECT_EQ(testing::ReadProcessState(child->pid())->process_group, ::getpgrp());
  child->CloseStdin();
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ExecTest, DestructionKillsTheProgram) {
  pid_t pid;
  {
    absl::StatusOr<Child> child = Exec({.argv = {"sleep", "1000"}});
    ASSERT_THAT(child, IsOk());
    pid = child->pid();
  }
  EXPECT_FALSE(testing::ReadProcessState(pid).has_value());
}

TEST_F(ExecTest, ManyInARowLeaveNothing) {
  for (int i = 0; i < testing::Rounds(1000); ++i) {
    ASSERT_THAT(Exec({.argv = {"/bin/true"}})->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
    ASSERT_THAT(Exec({.argv = {"/no/such/program"}}), StatusIs(absl::StatusCode::kNotFound));
  }
}

// --- Looking the program up ---

TEST_F(ExecTest, MissingProgramIsNotFoundAndNamed) {
  EXPECT_THAT(Exec({.argv = {"no-such-program-anywhere"}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program-anywhere")));
  EXPECT_THAT(
      Exec({.argv = {"/no/such/program"}}),
      StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("execve"), HasSubstr("/no/such/program"))));
}

TEST_F(ExecTest, FileInPathThatMayNotBeExecutedIsSkipped) {
  const TempDir first, second;
  first.Write("program", "#!/bin/sh\necho wrong\n", 0644);
  second.Write("program", "#!/bin/sh\necho right\n", 0755);
  InChild([&] {
    ::setenv("PATH", absl::StrCat("/no/such/folder:/dev/null:", first.path(), ":", second.path()).c_str(), 1);
    EXPECT_EQ(OutputOf({.argv = {"program"}}), "right\n");
  });
}

TEST_F(ExecTest, FileInPathThatMayNotBeExecutedIsTheErrorWhereThereIsNoOther) {
  const TempDir first, second;
  first.Write("program", "#!/bin/sh\necho wrong\n", 0644);
  InChild([&] {
    ::setenv("PATH", absl::StrCat(first.path(), ":", second.path()).c_str(), 1);
    EXPECT_THAT(Exec({.argv = {"program"}}),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("program")));
  });
}

TEST_F(ExecTest, PathsEmptyElementIsTheWorkingDirectory) {
  const TempDir folder;
  folder.Write("program", "#!/bin/sh\necho here\n", 0755);
  InChild([&] {
    EXPECT_EQ(::chdir(folder.path().c_str()), 0);
    for (const char* path : {"", "/no/such/folder:", ":/no/such/folder"}) {
      ::setenv("PATH", path, 1);
      EXPECT_EQ(OutputOf({.argv = {"program"}}), "here\n") << path;
    }
  });
}

TEST_F(ExecTest, WithoutPathTheSystemsFoldersAreLookedIn) {
  InChild([] {
    ::unsetenv("PATH");
    EXPECT_EQ(OutputOf({.argv = {"echo", "found"}}), "found\n");
  });
}

TEST_F(ExecTest, PathOfTheGivenEnvironmentIsNotTheOneThatIsSearched) {
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "echo $PATH"}, .env = {{"PATH=/no/such/folder"}}}),
            "/no/such/folder\n");
}

TEST_F(ExecTest, WhatIsNoProgramIsAnError) {
  const TempDir folder;
  EXPECT_THAT(Exec({.argv = {folder.path()}}), StatusIs(absl::StatusCode::kPermissionDenied)) << "a folder";
  EXPECT_THAT(Exec({.argv = {folder.Write("text", "echo hello\n", 0755)}}),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("[ENOEXEC]")));
  EXPECT_THAT(Exec({.argv = {folder.Write("script", "#!/no/such/interpreter\n", 0755)}}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Exec({.argv = {folder.Write("plain", "", 0644)}}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(ExecTest, CommandsThatCannotBeAreRefused) {
  EXPECT_THAT(Exec({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Exec({.argv = {""}}), StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string nul("a\0b", 3);
  for (const Command& command : std::vector<Command>{
           {.argv = {nul}},
           {.argv = {"true", nul}},
           {.argv = {"true"}, .env = {{nul}}},
           {.argv = {"true"}, .cwd = nul},
           {.argv = {"true"}, .stdin_from = Stdio::File(nul)},
           {.argv = {"true"}, .stdout_to = Stdio::File(nul)},
           {.argv = {"true"}, .stderr_to = Stdio::AppendToFile(nul)},
       }) {
    EXPECT_THAT(Exec(command), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NUL byte")));
  }
}

TEST_F(ExecTest, ArgumentBeyondTheKernelsLimitIsAClearError) {
  EXPECT_THAT(OutputOf({.argv = {"printf", "%s", std::string(100 << 10, 'x')}}), std::string(100 << 10, 'x'));
  EXPECT_THAT(Exec({.argv = {"true", std::string(1 << 20, 'x')}}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("true"), HasSubstr("[E2BIG]"))));
}

// --- Settings ---

TEST_F(ExecTest, EnvironmentIsThisProcessesOrExactlyTheGivenOne) {
  EXPECT_EQ(OutputOf({.argv = {"env"}, .env = {{"A=1", "B=x y"}}}), "A=1\nB=x y\n");
  EXPECT_EQ(OutputOf({.argv = {"env"}, .env = {std::vector<std::string>()}}), "");
  InChild([] {
    ::setenv("KO_TEST", "inherited", 1);
    EXPECT_THAT(OutputOf({.argv = {"env"}}), HasSubstr("KO_TEST=inherited\n"));
    ::clearenv();
    EXPECT_EQ(OutputOf({.argv = {"/usr/bin/env"}}), "");
  });
}

TEST_F(ExecTest, WorkingDirectoryIsSetAndProgramPathsStartThere) {
  const TempDir folder;
  folder.Write("program", "#!/bin/sh\npwd -P\n", 0755);
  EXPECT_EQ(OutputOf({.argv = {"./program"}, .cwd = folder.path()}), folder.path() + "\n");
  EXPECT_EQ(OutputOf({.argv = {"pwd"}, .cwd = "/"}), "/\n");
}

TEST_F(ExecTest, WorkingDirectoryThatIsNoneIsAnErrorThatNamesIt) {
  const TempDir folder;
  EXPECT_THAT(Exec({.argv = {"true"}, .cwd = "/no/such/folder"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("chdir(/no/such/folder)")));
  EXPECT_THAT(Exec({.argv = {"true"}, .cwd = folder.Write("file", "")}), Not(IsOk()));
}

TEST_F(ExecTest, LimitsHoldInTheProgramOnly) {
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc"},
                      .limits = {{RLIMIT_NOFILE, {100, 200}}, {RLIMIT_CORE, {0, 0}}}}),
            "100\n200\n0\n");
  rlimit after;
  ::getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, before.rlim_cur);
}

TEST_F(ExecTest, LimitsThatAreNoneAreRefused) {
  EXPECT_THAT(Exec({.argv = {"true"}, .limits = {{999, {1, 1}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("setrlimit")));
  EXPECT_THAT(Exec({.argv = {"true"}, .limits = {{RLIMIT_NOFILE, {200, 100}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("setrlimit")));
}

TEST_F(ExecTest, UmaskIsSet) {
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "umask"}, .umask = 027}), "0027\n");
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "umask"}, .umask = 0}), "0000\n");
}

TEST_F(ExecTest, SessionAndProcessGroupOfItsOwn) {
  absl::StatusOr<Child> session = StartIdle({.argv = {}, .new_session = true, .new_process_group = true});
  ASSERT_THAT(session, IsOk());
  EXPECT_EQ(testing::ReadProcessState(session->pid())->session, session->pid());
  EXPECT_EQ(testing::ReadProcessState(session->pid())->process_group, session->pid());
  absl::StatusOr<Child> group = StartIdle({.argv = {}, .new_process_group = true});
  ASSERT_THAT(group, IsOk());
  EXPECT_EQ(testing::ReadProcessState(group->pid())->session, ::getsid(0));
  EXPECT_EQ(testing::ReadProcessState(group->pid())->process_group, group->pid());
}

TEST_F(ExecTest, DiesWithItsParent) {
  const testing::InChildResult result = InChild([] {
    absl::StatusOr<Child> child = Exec({.argv = {"sleep", "1000"}, .die_with_parent = true});
    EXPECT_THAT(child, IsOk());
    std::printf("%d", child->pid());
    std::fflush(stdout);
    ::raise(SIGKILL);
  });
  const pid_t pid = std::stoi(result.out);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid) << "it is this process's child now";
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(ExecTest, HandlersAreResetMaskAndIgnoredSignalsAreInherited) {
  InChild([] {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGUSR1, [](int) {});
    absl::StatusOr<Child> child = StartIdle();
    EXPECT_THAT(child, IsOk());
    const pid_t self = ::getpid(), pid = child->pid();
    EXPECT_EQ(testing::SignalSet(pid, "SigBlk"), testing::SignalSet(self, "SigBlk"));
    EXPECT_EQ(testing::SignalSet(pid, "SigIgn"), testing::SignalSet(self, "SigIgn"));
    EXPECT_EQ(testing::SignalSet(pid, "SigCgt"), 0u);
    struct sigaction action;
    ::sigaction(SIGUSR1, nullptr, &action);
    EXPECT_NE(action.sa_handler, SIG_DFL) << "the parent's own";
    child->CloseStdin();
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

TEST_F(ExecTest, SignalSentAsExecReturnsReachesTheProgram) {
  for (int i = 0; i < testing::Rounds(200); ++i) {
    absl::StatusOr<Child> child = Exec({.argv = {"sleep", "1000"}});
    ASSERT_THAT(child, IsOk());
    ASSERT_THAT(child->Kill(SIGUSR1), IsOk());
    ASSERT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGUSR1)));
  }
}

TEST_F(ExecTest, NoOtherDescriptorReachesTheProgram) {
  const std::vector<std::string> list_fds = {"sh", "-c", "echo /proc/$$/fd/*"};
  InChild([&] {
    const std::string before = OutputOf({.argv = list_fds});
    EXPECT_THAT(before, HasSubstr("/fd/2"));
    for (const int fd : {3, 10, 99, 500}) EXPECT_EQ(::dup2(0, fd), fd);  // none of them close-on-exec
    const std::string output = OutputOf({.argv = list_fds});
    for (const int fd : {99, 500}) EXPECT_THAT(output, Not(HasSubstr(absl::StrCat("/fd/", fd))));
    EXPECT_EQ(::fcntl(99, F_GETFD), 0) << "in this process they are as they were";
  });
}

// --- From all kinds of programs ---

TEST_F(ExecTest, ThreadsMayExecAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 30; ++i) {
        const std::string word = absl::StrCat("thread ", t, " round ", i);
        EXPECT_EQ(OutputOf({.argv = {"echo", word}}), word + "\n");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ExecTest, OtherThreadsGoOnBesideAFailure) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < testing::Rounds(100); ++i) {
        const std::string program = absl::StrCat("/no/such/", t);
        EXPECT_THAT(Exec({.argv = {program}}), StatusIs(absl::StatusCode::kNotFound, HasSubstr(program)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ExecTest, IgnoredSigchldIsNoHindrance) {
  InChild([] {
    ::signal(SIGCHLD, SIG_IGN);
    EXPECT_THAT(Exec({.argv = {"/no/such/program"}}), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(Exec({.argv = {"true"}})->Wait(), IsOk());
  });
}

// --- What the kernel refuses ---

TEST_F(ExecTest, NoProcessLeftIsUnavailable) {
  InChild([] {
    FailSyscall(SYS_clone, EAGAIN);
    EXPECT_THAT(Exec({.argv = {"true"}}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("clone")));
  });
}

TEST_F(ExecTest, NoMemoryLeftIsResourceExhausted) {
  InChild([] {
    FailSyscall(SYS_clone, ENOMEM);
    EXPECT_THAT(Exec({.argv = {"true"}}), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("clone")));
  });
}

TEST_F(ExecTest, FailureOfEachStepInTheChildIsToldAndReaped) {
  const struct {
    long number;
    Command command;
    const char* stage;
  } kSteps[] = {
      {SYS_setsid, {.argv = {"true"}, .new_session = true}, "setsid"},
      {SYS_setpgid, {.argv = {"true"}, .new_process_group = true}, "setpgid"},
      {SYS_prctl, {.argv = {"true"}, .die_with_parent = true}, "prctl(PR_SET_PDEATHSIG)"},
      {SYS_chdir, {.argv = {"true"}, .cwd = "/"}, "chdir"},
      {SYS_close_range, {.argv = {"true"}}, "close_range"},
      {SYS_execve, {.argv = {"true"}}, "execve"},
  };
  for (const auto& step : kSteps) {
    InChild([&step] {
      // Filters need prctl themselves, so that one is refused with its own argument only.
      FailSyscall(step.number, EPERM,
                  step.number == SYS_prctl ? std::optional(ArgumentMatch{.index = 0, .mask = ~0u, .value = 1})
                                           : std::nullopt);
      EXPECT_THAT(Exec(step.command), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(step.stage)));
      EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
      EXPECT_EQ(errno, ECHILD);
    });
  }
}

}  // namespace
}  // namespace ko
