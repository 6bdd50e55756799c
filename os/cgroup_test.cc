#include "ko/os/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/unique_name.h"

namespace ko::os {
namespace {

using ::testing::EndsWith;
using testing::Gate;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
using testing::UniqueName;

constexpr char kHybridMounts[] =
    "10 31 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "14 35 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "20 41 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 - cgroup2 cgroup2 rw\n";

TEST(FindCgroupTest, PathIsThatBelowTheMount) {
  const struct {
    const char* cgroup;
    std::string mounts;
    const char* path;
  } kCases[] = {
      {"0::/\n", kHybridMounts, "/sys/fs/cgroup/unified"},
      {"4:memory:/x\n1:name=systemd:/y\n0::/a/b\n", kHybridMounts, "/sys/fs/cgroup/unified/a/b"},
      {"0::/user.slice", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate",
       "/sys/fs/cgroup/user.slice"},
      // A part of it mounted, as in containers.
      {"0::/pod/a", "30 1 0:26 /pod /cg rw - cgroup2 cgroup2 rw", "/cg/a"},
      {"0::/pod", "30 1 0:26 /pod /cg rw - cgroup2 cgroup2 rw", "/cg"},
      {"0::/pod2/a", "30 1 0:26 /pod /cg rw - cgroup2 cgroup2 rw\n31 1 0:26 / /all rw - cgroup2 none rw",
       "/all/pod2/a"},
      {"0::/a", R"(30 1 0:26 / /my\040cg\134roups rw - cgroup2 cgroup2 rw)", R"(/my cg\roups/a)"},
  };
  for (const auto& each : kCases) {
    EXPECT_THAT(FindCgroup(each.cgroup, each.mounts), IsOkAndHolds(std::string(each.path))) << each.cgroup;
  }
}

TEST(FindCgroupTest, ProcessInNoneThatCanBeReachedIsUnavailable) {
  const struct {
    const char* cgroup;
    const char* mounts;
    const char* why;
  } kCases[] = {
      {"", kHybridMounts, "none of version 2"},
      {"4:memory:/x\n", kHybridMounts, "none of version 2"},
      {"0::/../other", kHybridMounts, "namespace"},
      {"0::/gone (deleted)", kHybridMounts, "removed"},
      {"0::/a", "", "not mounted"},
      {"0::/a", "30 1 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw", "not mounted"},
      {"0::/pod2", "30 1 0:26 /pod /cg rw - cgroup2 cgroup2 rw", "not mounted"},
      {"0::/a", "30 1 0:26 /\n - cgroup2 \n\n", "not mounted"},
  };
  for (const auto& each : kCases) {
    EXPECT_THAT(FindCgroup(each.cgroup, each.mounts),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr(each.why)))
        << each.cgroup;
  }
}

class CgroupTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    absl::StatusOr<Cgroup> group = Cgroup::CreateBelowOwn(UniqueName("ko-cgroup-test"));
    if (absl::IsUnavailable(group.status())) GTEST_SKIP() << group.status();
    ASSERT_THAT(group, IsOk());
    group_ = *std::move(group);
  }
  void TearDown() override {
    group_.reset();
    LeakCheckedTest::TearDown();
  }

  // A child in the group that runs `life` and then stays.
  pid_t StartMember(absl::FunctionRef<void()> life = [] {}) {
    Gate is_there;
    const pid_t pid = ::fork();
    EXPECT_GE(pid, 0);
    if (pid == 0) {
      if (!group_->AddSelf().ok()) ::_exit(1);
      life();
      is_there.Open();
      for (;;) ::pause();
    }
    is_there.CloseOpener();
    EXPECT_TRUE(is_there.Pass());
    return pid;
  }
  static int TermSignalOf(pid_t pid) {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  static void ReapAll() {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
  }
  static bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

  std::optional<Cgroup> group_;
};

TEST_F(CgroupTest, FreshOneIsEmpty) {
  EXPECT_TRUE(Exists(group_->path()));
  EXPECT_FALSE(group_->IsPopulated());
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::InfiniteDuration())), IsOkAndHolds(true));
  EXPECT_THAT(group_->Kill(), IsOk());
}

TEST_F(CgroupTest, KillEndsAllThatIsInItWhateverTheirSessionsAndParents) {
  const pid_t member = StartMember([] {
    if (::fork() == 0) {
      ::setsid();
      if (::fork() == 0) {
        ::setsid();
        for (;;) ::pause();
      }
      ::_exit(0);  // the other one is nobody's now
    }
  });
  EXPECT_TRUE(group_->IsPopulated());
  EXPECT_THAT(group_->Kill(), IsOk());
  EXPECT_EQ(TermSignalOf(member), SIGKILL);
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::InfiniteDuration())), IsOkAndHolds(true));
  ReapAll();
}

TEST_F(CgroupTest, AwaitEmptyReturnsAtItsDeadlineWhileThereIsAMember) {
  const pid_t member = StartMember();
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::ZeroDuration())), IsOkAndHolds(false));
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::Milliseconds(20))), IsOkAndHolds(false));
  ::kill(member, SIGKILL);
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::InfiniteDuration())), IsOkAndHolds(true));
  ReapAll();
}

TEST_F(CgroupTest, ZombieDoesNotCount) {
  const pid_t member = StartMember();
  ::kill(member, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(member), &info, WEXITED | WNOWAIT), 0);
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::InfiniteDuration())), IsOkAndHolds(true));
  ReapAll();
}

TEST_F(CgroupTest, DestructionKillsAndRemovesIt) {
  const std::string path = group_->path();
  const pid_t member = StartMember();
  group_.reset();
  EXPECT_EQ(TermSignalOf(member), SIGKILL);
  EXPECT_FALSE(Exists(path));
}

TEST_F(CgroupTest, DestructionRemovesWhatIsBelowIt) {
  const std::string path = group_->path();
  ASSERT_EQ(::mkdir(absl::StrCat(path, "/a").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(absl::StrCat(path, "/a/b").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(absl::StrCat(path, "/c").c_str(), 0755), 0);
  group_.reset();
  EXPECT_FALSE(Exists(path));
}

TEST_F(CgroupTest, ForkedCopyLeavesItAlone) {
  const pid_t member = StartMember();
  InChild([&] { group_.reset(); });
  EXPECT_TRUE(group_->IsPopulated());
  ::kill(member, SIGTERM);
  EXPECT_EQ(TermSignalOf(member), SIGTERM);
}

TEST_F(CgroupTest, MovedFromOneIsNone) {
  const std::string path = group_->path();
  Cgroup other = *std::move(group_);
  EXPECT_EQ(other.path(), path);
  EXPECT_EQ(group_->path(), "");
  EXPECT_FALSE(group_->IsPopulated());
  EXPECT_THAT(group_->AddSelf(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(group_->Kill(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(group_->AwaitEmpty(Deadline::After(absl::InfiniteDuration())),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  group_ = std::move(other);
  EXPECT_TRUE(Exists(path));
}

TEST_F(CgroupTest, NameThatIsTakenOrNoneIsRefusedAndNothingIsMade) {
  const std::string name = std::filesystem::path(group_->path()).filename();
  EXPECT_THAT(Cgroup::CreateBelowOwn(name), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(name)));
  EXPECT_TRUE(Exists(group_->path()));
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a\0b", 3)}) {
    EXPECT_THAT(Cgroup::CreateBelowOwn(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST_F(CgroupTest, WithoutDescriptorsThereIsAnErrorAndNoFolder) {
  const std::string name = UniqueName("ko-cgroup-test");
  const std::string path =
      absl::StrCat(std::filesystem::path(group_->path()).parent_path().string(), "/", name);
  InChild([&] {
    const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(next);
    for (int spare = 0; spare < 5; ++spare) {
      const rlimit limit = {static_cast<rlim_t>(next + spare), static_cast<rlim_t>(next + 16)};
      ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
      EXPECT_THAT(Cgroup::CreateBelowOwn(name), StatusIs(absl::StatusCode::kResourceExhausted)) << spare;
      EXPECT_FALSE(Exists(path)) << spare;
    }
  });
}

}  // namespace
}  // namespace ko::os
