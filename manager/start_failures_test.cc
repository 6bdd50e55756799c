#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "ko/manager/process_manager.h"
#include "ko/manager/test_bodies.h"
#include "ko/os/unique_fd.h"
#include "ko/process/test_end.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Starts that the kernel refuses: told like any other end, retried where the policy says so, and nothing is left of them.

namespace ko {
namespace {

using testing::ArgumentMatch;
using testing::FailFork;
using testing::FailSyscall;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::ResourceSnapshot;
using testing::StatusIs;

class StartFailuresTest : public testing::LeakCheckedTest {
 protected:
  // Forks with a manager that is open already, where forks cannot work, and says what came of it.
  static absl::Status FailedStart(ProcessManager& manager, int error_number) {
    const ResourceSnapshot before = ResourceSnapshot::Take();
    std::vector<ExitStatus> told;
    Process process = manager.Fork([] {});
    process.OnError([&](const ExitStatus& status) { told.push_back(status); });
    process.OnSuccess([] { FAIL(); });
    EXPECT_EQ(process.pid(), 0);
    const absl::StatusOr<ExitStatus> status = process.Wait();
    EXPECT_THAT(status, IsOkAndHolds(ExitStatus::NotStarted(error_number)));
    EXPECT_EQ(told, std::vector{ExitStatus::NotStarted(error_number)});
    EXPECT_EQ(manager.size(), 0u);
    EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
    return EndOf(status);
  }
  static void Open(ProcessManager& manager) {
    EXPECT_THAT(manager.Fork([] {}).Wait(), IsOk());
  }

  // Takes all descriptors that are left under `limit`, which is made the highest possible one.
  static std::vector<os::UniqueFd> TakeAllDescriptors(rlim_t limit) {
    const rlimit both = {limit, limit};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &both), 0);
    std::vector<os::UniqueFd> fds;
    for (;;) {
      os::UniqueFd fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
      if (!fd.valid()) return fds;
      fds.push_back(std::move(fd));
    }
  }
};

TEST_F(StartFailuresTest, NoProcessLeftIsNotStartedWithEagain) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    FailFork(EAGAIN);
    EXPECT_THAT(FailedStart(manager, EAGAIN), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fork")));
  });
}

TEST_F(StartFailuresTest, NoMemoryIsNotStartedWithEnomem) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    FailFork(ENOMEM);
    EXPECT_THAT(FailedStart(manager, ENOMEM),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("fork")));
  });
}

TEST_F(StartFailuresTest, NoSharedMemoryIsNotStartedWithEnomem) {
  InChild([] {
    ProcessManager manager;
    EXPECT_GE(manager.poll_fd(), 0);  // open; what children share with it comes with the first start
    FailSyscall(SYS_mmap, ENOMEM, ArgumentMatch{.index = 3, .mask = MAP_SHARED, .value = MAP_SHARED});
    EXPECT_THAT(FailedStart(manager, ENOMEM),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("mmap")));
  });
}

TEST_F(StartFailuresTest, NoRoomInTheEpollInstanceIsNotStartedAndTheChildIsReaped) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    FailSyscall(SYS_epoll_ctl, ENOSPC);
    EXPECT_THAT(FailedStart(manager, ENOSPC), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

TEST_F(StartFailuresTest, NoDescriptorIsNotStartedWithEmfile) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    const std::vector<os::UniqueFd> fds = TakeAllDescriptors(64);
    // No snapshot without descriptors, hence not FailedStart.
    EXPECT_THAT(manager.Fork([] {}).Wait(), IsOkAndHolds(ExitStatus::NotStarted(EMFILE)));
    EXPECT_EQ(manager.size(), 0u);
  });
}

TEST_F(StartFailuresTest, NoDescriptorForTheManagerItselfIsNotStartedWithEmfile) {
  InChild([] {
    ProcessManager manager;
    std::vector<os::UniqueFd> fds = TakeAllDescriptors(64);
    int told = 0;
    Process process = manager.Fork([] {});
    process.OnError([&](const ExitStatus&) { ++told; });
    EXPECT_EQ(manager.poll_fd(), -1);
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::NotStarted(EMFILE)));
    EXPECT_EQ(told, 1);
    EXPECT_THAT(manager.Wait(), IsOk()) << "there is nothing to wait for";
    EXPECT_THAT(manager.Dispatch(), StatusIs(absl::StatusCode::kResourceExhausted));
    fds.clear();
    EXPECT_THAT(manager.Fork([] { return 3; }).Wait(), IsOkAndHolds(ExitStatus::Exited(3)))
        << "when there are some again";
  });
}

TEST_F(StartFailuresTest, SpawnIsTriedAgainAndRecovers) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    std::vector<os::UniqueFd> fds = TakeAllDescriptors(64);
    std::vector<ExitStatus> failures;
    Process process = manager.Spawn(ServeUntilShutdown, {.initial_delay = absl::Milliseconds(1)});
    EXPECT_TRUE(process.IsAlive());
    EXPECT_EQ(process.pid(), 0);
    process.OnError([&](const ExitStatus& status) {
      failures.push_back(status);
      if (failures.size() == 3) fds.clear();
    });
    while (!process.IsReady()) ASSERT_THAT(manager.Dispatch(absl::InfiniteDuration()), IsOk());
    EXPECT_EQ(failures, std::vector(3, ExitStatus::NotStarted(EMFILE)));
    EXPECT_EQ(process.restarts(), 3);
    EXPECT_THAT(process.Stop(), IsOkAndHolds(ExitStatus::Exited(kSawShutdown)));
  });
}

TEST_F(StartFailuresTest, SpawnThatNeverStartsIsGivenUp) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    FailFork(EAGAIN);
    int told = 0;
    Process process = manager.Spawn(
        [] {},
        {.initial_delay = absl::ZeroDuration(), .max_delay = absl::Milliseconds(1), .max_restarts = 4});
    process.OnError([&](const ExitStatus&) { ++told; });
    EXPECT_THAT(process.Wait(), IsOkAndHolds(ExitStatus::NotStarted(EAGAIN)));
    EXPECT_EQ(told, 5);
    EXPECT_EQ(process.restarts(), 4);
  });
}

TEST_F(StartFailuresTest, WaitReadyOfAStartThatFailedIsAborted) {
  InChild([] {
    ProcessManager manager;
    Open(manager);
    FailFork(EAGAIN);
    EXPECT_THAT(manager.Fork(ServeUntilShutdown).WaitReady(),
                StatusIs(absl::StatusCode::kAborted, HasSubstr("not started")));
  });
}

TEST_F(StartFailuresTest, EmptyBodyIsNotStartedWithEinval) {
  ProcessManager manager;
  Open(manager);
  const absl::StatusOr<ExitStatus> status = manager.Fork(std::function<void()>()).Wait();
  ASSERT_THAT(status, IsOkAndHolds(ExitStatus::NotStarted(EINVAL)));
  EXPECT_THAT(status->ToStatus(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("body")));
}

}  // namespace
}  // namespace ko
