#include "ko/os/thread_id.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "ko/testing/in_child.h"

namespace ko::os {
namespace {

using ::ko::testing::InChild;

TEST(ThreadIdTest, IsWhatTheKernelSays) {
  EXPECT_EQ(ThreadId(), ::gettid());
  EXPECT_EQ(ThreadId(), ::gettid());
  std::thread([] { EXPECT_EQ(ThreadId(), ::gettid()); }).join();
}

TEST(ThreadIdTest, IsTheChildsInAForkedChild) {
  ThreadId();
  const auto result = InChild([] {
    EXPECT_EQ(ThreadId(), ::gettid());
    const auto grandchild = InChild([] { EXPECT_EQ(ThreadId(), ::gettid()); });
    EXPECT_TRUE(grandchild.ok());
    EXPECT_EQ(ThreadId(), ::gettid());
  });
  EXPECT_TRUE(result.ok());
}

TEST(ThreadIdTest, IsTheChildsInAChildMadeWithoutTheCLibrary) {
  ThreadId();
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  ASSERT_NE(pid, -1);
  if (pid == 0) ::_exit(ThreadId() == ::gettid() ? 0 : 1);
  int status;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ko::os
