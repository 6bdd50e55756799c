#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <future>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "ko/os/shared_mapping.h"
#include "ko/process/fork.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// Forks that the kernel refuses: a clear error, no child, nothing left, and no body that ran.

namespace ko {
namespace {

using testing::ArgumentMatch;
using testing::FailFork;
using testing::FailSyscall;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::ResourceSnapshot;
using testing::StatusIs;

class ForkFailuresTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<os::SharedMapping> mapping = os::SharedMapping::Create(sizeof(std::atomic<int>));
    ASSERT_THAT(mapping, IsOk());
    mapping_ = *std::move(mapping);
  }
  void TearDown() override {
    EXPECT_EQ(bodies_run().load(std::memory_order_relaxed), 0);
    mapping_ = os::SharedMapping();
    LeakCheckedTest::TearDown();
  }

  std::atomic<int>& bodies_run() { return *static_cast<std::atomic<int>*>(mapping_.data()); }

  // Forks in this process, which must be one where that cannot work, and says what Fork answered.
  absl::Status FailedFork(bool allow_threads = false) {
    const ResourceSnapshot before = ResourceSnapshot::Take();
    const absl::Status status = Fork([this] { bodies_run().fetch_add(1, std::memory_order_relaxed); },
                                     {.allow_threads = allow_threads})
                                    .status();
    EXPECT_EQ(ResourceSnapshot::Take().ChangesSince(before), "");
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD) << "there is no child";
    return status;
  }

 private:
  os::SharedMapping mapping_;
};

// From then on a child and its pidfd are no longer made in one step.
void LeaveForkToTheCLibrary() { FailSyscall(SYS_clone3, ENOSYS); }

TEST_F(ForkFailuresTest, NoProcessLeftIsUnavailable) {
  InChild([this] {
    FailFork(EAGAIN);
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fork: ")));
  });
}

TEST_F(ForkFailuresTest, NoMemoryForTheProcessIsResourceExhausted) {
  InChild([this] {
    FailFork(ENOMEM);
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("fork: ")));
  });
}

TEST_F(ForkFailuresTest, NoMemoryForTheReportIsResourceExhausted) {
  InChild([this] {
    FailSyscall(SYS_mmap, ENOMEM, ArgumentMatch{.index = 3, .mask = MAP_SHARED, .value = MAP_SHARED});
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("mmap")));
  });
}

TEST_F(ForkFailuresTest, NoPidfdIsResourceExhausted) {
  InChild([this] {
    LeaveForkToTheCLibrary();
    FailSyscall(SYS_pidfd_open, EMFILE);
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("pidfd_open")));
  });
}

TEST_F(ForkFailuresTest, KernelWithoutPidfdsSaysSo) {
  InChild([this] {
    LeaveForkToTheCLibrary();
    FailSyscall(SYS_pidfd_open, ENOSYS);
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("pidfd_open")));
  });
}

TEST_F(ForkFailuresTest, NoPidfdWhereTheKernelReapsChildrenIsResourceExhausted) {
  InChild([this] {
    LeaveForkToTheCLibrary();
    ::signal(SIGCHLD, SIG_IGN);
    FailSyscall(SYS_pidfd_open, EMFILE);
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("pidfd_open")));
  });
}

TEST_F(ForkFailuresTest, NoPidfdInAThreadedProgramIsResourceExhausted) {
  InChild([this] {
    std::promise<void> may_end;
    std::thread other([&may_end] { may_end.get_future().wait(); });
    FailSyscall(SYS_pidfd_open, EMFILE);
    EXPECT_THAT(FailedFork(/*allow_threads=*/true),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("pidfd_open")));
    may_end.set_value();
    other.join();
  });
}

// A user who has no process yet.
bool BecomeNewUser() { return ::setgroups(0, nullptr) == 0 && ::setresuid(64'321, 64'321, 64'321) == 0; }

TEST_F(ForkFailuresTest, ProcessLimitOfAnOrdinaryUserIsUnavailable) {
  if (!InChild([] { ::_exit(BecomeNewUser() ? 0 : 1); }).ok()) {
    GTEST_SKIP()
        << "this process may not become another user: it is not root, or in a user namespace of one user";
  }
  InChild([this] {
    const rlimit one = {1, 1};
    EXPECT_EQ(::setrlimit(RLIMIT_NPROC, &one), 0);
    EXPECT_TRUE(BecomeNewUser());
    EXPECT_THAT(FailedFork(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fork: ")));
  });
}

// Leaves exactly `free` descriptors to this process.
void LeaveFree(int free) {
  const int lowest = ::dup(0);
  ::close(lowest);
  const rlimit limit = {static_cast<rlim_t>(lowest + free), static_cast<rlim_t>(lowest + free)};
  // Holes above the lowest free number would count as free ones.
  for (int fd = lowest; fd < 64; ++fd) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The snapshot needs descriptors of its own, so these look at the children and at what is open by hand.
absl::Status ForkWithFree(int free, std::atomic<int>& bodies_run) {
  LeaveFree(free);
  absl::StatusOr<Child> child = Fork([&bodies_run] { bodies_run.fetch_add(1, std::memory_order_relaxed); });
  if (!child.ok()) {
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    for (int i = 0; i < free; ++i) EXPECT_GE(::dup(0), 0) << "one of those that were free is not any more";
    return child.status();
  }
  EXPECT_TRUE(child->Wait()->ok());
  bodies_run.fetch_sub(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

TEST_F(ForkFailuresTest, NoDescriptorLeftIsResourceExhausted) {
  InChild(
      [this] { EXPECT_THAT(ForkWithFree(0, bodies_run()), StatusIs(absl::StatusCode::kResourceExhausted)); });
}

TEST_F(ForkFailuresTest, OneDescriptorIsEnough) {
  InChild([this] { EXPECT_THAT(ForkWithFree(1, bodies_run()), IsOk()); });
}

TEST_F(ForkFailuresTest, OneDescriptorIsEnoughForTheCLibrarysForkToo) {
  InChild([this] {
    LeaveForkToTheCLibrary();
    EXPECT_THAT(ForkWithFree(1, bodies_run()), IsOk());
  });
}

TEST_F(ForkFailuresTest, WhereTheKernelReapsChildrenTheCLibrarysForkTakesTwoDescriptors) {
  for (const int free : {0, 1}) {
    InChild([this, free] {
      ::signal(SIGCHLD, SIG_IGN);
      LeaveForkToTheCLibrary();
      EXPECT_THAT(ForkWithFree(free, bodies_run()), StatusIs(absl::StatusCode::kResourceExhausted)) << free;
    });
  }
}

TEST_F(ForkFailuresTest, FailedStageInTheChildIsNotStarted) {
  InChild([this] {
    FailSyscall(SYS_prctl, EPERM, ArgumentMatch{.index = 0, .mask = ~0u, .value = 1});  // PR_SET_PDEATHSIG
    absl::StatusOr<Child> child =
        Fork([this] { bodies_run().fetch_add(1, std::memory_order_relaxed); }, {.die_with_parent = true});
    EXPECT_THAT(child, IsOk());
    const absl::StatusOr<ExitStatus> status = child->Wait();
    EXPECT_EQ(status->start_error(), EPERM);
    EXPECT_THAT(status->ToString(), HasSubstr("not started: prctl(PR_SET_PDEATHSIG): "));
  });
}

TEST_F(ForkFailuresTest, TryForkTellsTheErrno) {
  InChild([this] {
    FailFork(EAGAIN);
    std::variant<Child, ExitStatus> result =
        TryFork([this] { bodies_run().fetch_add(1, std::memory_order_relaxed); });
    ASSERT_TRUE(std::holds_alternative<ExitStatus>(result));
    EXPECT_EQ(std::get<ExitStatus>(result), ExitStatus::NotStarted(EAGAIN));
    EXPECT_THAT(std::get<ExitStatus>(result).ToString(), HasSubstr("not started: fork: "));
  });
}

}  // namespace
}  // namespace ko
