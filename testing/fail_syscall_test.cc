#include "ko/testing/fail_syscall.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "ko/testing/in_child.h"

namespace ko::testing {
namespace {

TEST(FailSyscall, CallFailsWithTheErrno) {
  const InChildResult result = InChild([] {
    FailSyscall(SYS_pidfd_open, EMFILE);
    errno = 0;
    EXPECT_EQ(::syscall(SYS_pidfd_open, ::getpid(), 0), -1);
    EXPECT_EQ(errno, EMFILE);
    EXPECT_GT(::syscall(SYS_getppid), 0) << "other calls work";
  });
  EXPECT_TRUE(result.ok());
}

TEST(FailSyscall, OnlyWithTheGivenArgument) {
  const InChildResult result = InChild([] {
    FailSyscall(SYS_fcntl, EPERM, ArgumentMatch{.index = 1, .mask = ~0u, .value = F_GETFL});
    EXPECT_EQ(::fcntl(0, F_GETFL), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_NE(::fcntl(0, F_GETFD), -1);
  });
  EXPECT_TRUE(result.ok());
}

TEST(FailSyscall, OnlyWithTheGivenBits) {
  const InChildResult result = InChild([] {
    FailSyscall(SYS_umask, EPERM, ArgumentMatch{.index = 0, .mask = 0700, .value = 0100});
    EXPECT_EQ(::syscall(SYS_umask, 0122), -1);
    EXPECT_NE(::syscall(SYS_umask, 0222), -1);
  });
  EXPECT_TRUE(result.ok());
}

TEST(FailSyscall, TwoFiltersHoldBesideEachOther) {
  const InChildResult result = InChild([] {
    FailSyscall(SYS_getppid, EPERM);
    FailSyscall(SYS_umask, EPERM);
    EXPECT_EQ(::syscall(SYS_getppid), -1);
    EXPECT_EQ(::syscall(SYS_umask, 022), -1);
  });
  EXPECT_TRUE(result.ok());
}

TEST(FailFork, ForkFailsAndThreadsStart) {
  const InChildResult result = InChild([] {
    FailFork(ENOMEM);
    bool ran = false;
    std::thread([&ran] { ran = true; }).join();
    EXPECT_TRUE(ran);
    errno = 0;
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    EXPECT_EQ(pid, -1);
    EXPECT_EQ(errno, ENOMEM);
  });
  EXPECT_TRUE(result.ok());
}

}  // namespace
}  // namespace ko::testing
