#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "absl/base/config.h"
#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// More children at once than the program may have files open.

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::ResourceSnapshot;

#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
constexpr rlim_t kDefaultLimit = 128;  // a fork takes many times as long
#else
constexpr rlim_t kDefaultLimit = 1024;
#endif
constexpr int kCrowd = kDefaultLimit - 24;

class CrowdTest : public testing::LeakCheckedTest {
 protected:
  static rlim_t SoftLimit() {
    rlimit limit = {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
  }
  static bool SetLimits(rlim_t soft, rlim_t hard) {
    const rlimit limit = {soft, hard};
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
  }
  // What a child with the program's own limit can do.
  static int OpenFilesAndServe(Self& self) {
    if (SoftLimit() != kDefaultLimit) return 1;
    std::vector<os::UniqueFd> files;
    for (int i = 0; i < 20; ++i) {
      files.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (files.back().get() < 0 || files.back().get() > 100) return 2;  // the manager's are not here
    }
    return ServeUntilShutdown(self);
  }
};

TEST_F(CrowdTest, AsManyChildrenLiveAsTheDefaultLimitHasFiles) {
  InChild([] {
    ASSERT_TRUE(SetLimits(kDefaultLimit, 4096));
    ProcessManager manager;
    std::vector<Process> processes;
    int ready = 0;
    for (int i = 0; i < kCrowd; ++i) {
      processes.push_back(manager.Fork(OpenFilesAndServe));
      processes.back().OnReady([&] { ++ready; });
    }
    for (Process& process : processes) ASSERT_THAT(process.WaitReady(), IsOk());
    EXPECT_EQ(ready, kCrowd);
    EXPECT_EQ(manager.size(), static_cast<size_t>(kCrowd));
    EXPECT_THAT(manager.Shutdown(), IsOk());
    for (Process& process : processes) EXPECT_EQ(process.exit_status(), ExitStatus::Exited(kSawShutdown));
  });
}

TEST_F(CrowdTest, ProgramsOwnLimitComesBackWithDestruction) {
  InChild([] {
    ASSERT_TRUE(SetLimits(128, 4096));
    {
      ProcessManager first, second;
      for (int i = 0; i < 100; ++i) {
        first.Fork(SleepForEver);
        second.Fork(SleepForEver);
      }
      EXPECT_EQ(first.size() + second.size(), 200u);
      EXPECT_EQ(SoftLimit(), 4096u);
    }
    EXPECT_EQ(SoftLimit(), 128u);
  });
}

TEST_F(CrowdTest, OneManagersEndLeavesRoomToTheOther) {
  InChild([] {
    ASSERT_TRUE(SetLimits(128, 4096));
    ProcessManager stays;
    {
      ProcessManager goes;
      for (int i = 0; i < 100; ++i) {
        goes.Fork(SleepForEver);
        stays.Fork(SleepForEver);
      }
    }
    for (int i = 0; i < 100; ++i) stays.Fork(SleepForEver);
    EXPECT_EQ(stays.size(), 200u);
  });
}

TEST_F(CrowdTest, LimitThatTheProgramSetMeanwhileIsTheChilds) {
  InChild([] {
    ASSERT_TRUE(SetLimits(96, 4096));
    ProcessManager manager;
    manager.Fork([] {});
    ASSERT_TRUE(SetLimits(128, 4096));
    for (int i = 0; i < 150; ++i) manager.Fork(SleepForEver);
    EXPECT_THAT(manager.Fork([] { return static_cast<int>(SoftLimit()); }).Wait(),
                IsOkAndHolds(ExitStatus::Exited(128)));
  });
}

// Not under AddressSanitizer, where a process does not survive having no descriptor left.
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER)
TEST_F(CrowdTest, WhatDoesNotFitUnderTheHardLimitIsNotStarted) {
  InChild([] {
    ASSERT_TRUE(SetLimits(kDefaultLimit, kDefaultLimit));
    const ResourceSnapshot before = ResourceSnapshot::Take();
    {
      ProcessManager manager;
      std::vector<Process> processes;
      constexpr size_t kTooMany = kDefaultLimit + 76;
      while (processes.size() < kTooMany) processes.push_back(manager.Fork(SleepForEver));
      const auto refused = std::count_if(processes.begin(), processes.end(), [](const Process& process) {
        return process.exit_status() == ExitStatus::NotStarted(EMFILE);
      });
      EXPECT_GT(refused, 76);
      EXPECT_GT(manager.size(), kDefaultLimit * 3 / 4);
      EXPECT_EQ(manager.size() + static_cast<size_t>(refused), kTooMany);

      ASSERT_THAT(processes[0].Kill(SIGKILL), IsOk());
      EXPECT_THAT(processes[0].Wait(), IsOk());
      EXPECT_TRUE(manager.Fork(SleepForEver).IsAlive()) << "where one went there is room for another";
    }
    EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
  });
}
#endif

}  // namespace
}  // namespace ko
