#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ko/process/exec.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// Who a command runs as, and with what share of the machine.

namespace ko {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
using testing::TempDir;

constexpr uid_t kOtherUid = 54321;  // in nobody's database
constexpr gid_t kOtherGid = 54322;

std::string OutputOf(Command command) {
  command.stdout_to = Stdio::Pipe();
  absl::StatusOr<Child> child = Exec(command);
  EXPECT_THAT(child, IsOk());
  if (!child.ok()) return "";
  std::string output = testing::ReadAll(child->stdout_fd());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  return output;
}

// Whether this process may become other users, which takes root where there is more than one user.
bool MayChangeUser() {
  return testing::InChild([] {
           return ::setgroups(0, nullptr) == 0 && ::setresgid(1, 1, 1) == 0 &&
                          ::setresuid(kOtherUid, kOtherUid, kOtherUid) == 0
                      ? "yes"
                      : "";
         }).value == "yes";
}

class ExecIdentityTest : public testing::LeakCheckedTest {};

// Those of these tests that need privileges.
class ExecUserTest : public ExecIdentityTest {
 protected:
  void SetUp() override {
    ExecIdentityTest::SetUp();
    if (!MayChangeUser()) GTEST_SKIP() << "this process may not change its user";
  }
};

std::vector<std::string> ShowIds() {
  return {"sh", "-c", "sed -n -E 's/^(Uid|Gid|Groups):[[:space:]]*//p' /proc/self/status"};
}

std::string Ids(uid_t uid, gid_t gid, const std::string& groups) {
  return absl::StrCat(uid, "\t", uid, "\t", uid, "\t", uid, "\n", gid, "\t", gid, "\t", gid, "\t", gid, "\n",
                      groups, groups.empty() ? "" : " ", "\n");
}

TEST_F(ExecUserTest, NameBringsItsGroups) {
  EXPECT_EQ(OutputOf({.argv = ShowIds(), .user = "daemon"}), Ids(1, 1, "1"));
}

TEST_F(ExecUserTest, NumbersGroupsAndSupplementaryGroupsAreTakenAsTheyAre) {
  EXPECT_EQ(OutputOf({.argv = ShowIds(), .user = absl::StrCat(kOtherUid), .group = absl::StrCat(kOtherGid)}),
            Ids(kOtherUid, kOtherGid, "54322"));
  EXPECT_EQ(OutputOf({.argv = ShowIds(), .user = "1", .group = "bin"}), Ids(1, 2, "2"));
  EXPECT_EQ(OutputOf({.argv = ShowIds(),
                      .user = "daemon",
                      .group = "60000",
                      .supplementary_groups = {{"sys", "50000", "bin", "sys"}}}),
            Ids(1, 60000, "2 3 50000 60000"));
}

TEST_F(ExecUserTest, GroupAloneLeavesTheUser) {
  EXPECT_THAT(OutputOf({.argv = ShowIds(), .group = "bin"}),
              HasSubstr(absl::StrCat(::getuid(), "\t", ::getuid(), "\t", ::getuid(), "\t", ::getuid(),
                                     "\n2\t2\t2\t2\n")));
}

TEST_F(ExecUserTest, HasNoCapabilityLeft) {
  EXPECT_EQ(
      OutputOf({.argv = {"sed", "-n", "s/^CapEff:[[:space:]]*//p", "/proc/self/status"}, .user = "daemon"}),
      "0000000000000000\n");
}

TEST_F(ExecUserTest, ThisProcessStaysWhoItIsAndDumpable) {
  ASSERT_EQ(::prctl(PR_GET_DUMPABLE), 1);
  OutputOf({.argv = ShowIds(), .user = "daemon"});
  EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 1) << "the kernel marks the memory of who changes its user";
  EXPECT_EQ(::geteuid(), 0u);
}

TEST_F(ExecUserTest, PrivilegedSettingsAreTakenBeforePrivilegesGo) {
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "nice; ulimit -Hn; id -u"},
                      .limits = {{RLIMIT_NOFILE, {100, 300}}},
                      .user = "daemon",
                      .nice = -3}),
            "-3\n300\n1\n");
}

TEST_F(ExecUserTest, WorkingDirectoryIsTheNewUsersToEnter) {
  const TempDir folder;  // 0700
  EXPECT_THAT(Exec({.argv = {"true"}, .cwd = folder.path(), .user = "daemon"}),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(folder.path())));
}

TEST_F(ExecUserTest, FailureOfEachStepInTheChildIsToldAndReaped) {
  const struct {
    long number;
    Command command;
    const char* stage;
  } kSteps[] = {
      {SYS_setpriority, {.argv = {"true"}, .nice = 5}, "setpriority(nice 5)"},
      {SYS_sched_setaffinity, {.argv = {"true"}, .cpus = {0}}, "sched_setaffinity(cpus 0)"},
      {SYS_setgroups, {.argv = {"true"}, .user = "daemon"}, "setgroups(user daemon"},
      {SYS_setresgid, {.argv = {"true"}, .user = "daemon"}, "setresgid(user daemon"},
      {SYS_setresuid, {.argv = {"true"}, .user = "daemon"}, "setresuid(user daemon)"},
      {SYS_prctl, {.argv = {"true"}, .no_new_privs = true}, "prctl(PR_SET_NO_NEW_PRIVS)"},
  };
  for (const auto& step : kSteps) {
    InChild([&step] {
      // Filters need prctl themselves, so that one is refused with its own argument only.
      testing::FailSyscall(
          step.number, EPERM,
          step.number == SYS_prctl
              ? std::optional(testing::ArgumentMatch{.index = 0, .mask = ~0u, .value = PR_SET_NO_NEW_PRIVS})
              : std::nullopt);
      EXPECT_THAT(Exec(step.command), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(step.stage)));
      EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
      EXPECT_EQ(errno, ECHILD);
    });
  }
}

TEST_F(ExecUserTest, FailedExecIsStillTheReturnedError) {
  EXPECT_THAT(Exec({.argv = {"/no/such/program"}, .user = "daemon"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("execve(/no/such/program)")));
}

TEST_F(ExecUserTest, GetsListenersAndItsOwnPidToo) {
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "[ -e /proc/$$/fd/3 ] && [ $LISTEN_PID = $$ ] && id -u"},
                      .user = "daemon",
                      .listen_fds = {{.fd = 0}}}),
            "1\n");
}

TEST_F(ExecUserTest, DiesWithItsParentAsAnotherUserToo) {
  const testing::InChildResult result = InChild([] {
    absl::StatusOr<Child> child =
        Exec({.argv = {"sleep", "1000"}, .die_with_parent = true, .user = "daemon"});
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

TEST_F(ExecUserTest, OrdinaryUserMayNameHimselfAndNobodyElse) {
  InChild([] {
    ASSERT_EQ(::setgroups(0, nullptr), 0);
    ASSERT_EQ(::setresgid(1, 1, 1), 0);
    ASSERT_EQ(::setresuid(1, 1, 1), 0);
    EXPECT_EQ(OutputOf({.argv = ShowIds(), .user = "daemon"}), Ids(1, 1, ""));
    EXPECT_EQ(OutputOf({.argv = ShowIds(), .user = "1", .group = "1"}), Ids(1, 1, ""));
    EXPECT_THAT(Exec({.argv = {"true"}, .user = "root"}),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("user root")));
    EXPECT_THAT(Exec({.argv = {"true"}, .group = "root"}),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("group root")));
    EXPECT_THAT(Exec({.argv = {"true"}, .nice = -1}),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("setpriority(nice -1)")));
  });
}

TEST_F(ExecIdentityTest, UserOrGroupThatDoesNotExistIsNotFoundAndNamed) {
  EXPECT_THAT(Exec({.argv = {"true"}, .user = "no-such-user"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no user \"no-such-user\"")));
  EXPECT_THAT(Exec({.argv = {"true"}, .group = "no-such-group"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no group \"no-such-group\"")));
  EXPECT_THAT(Exec({.argv = {"true"}, .supplementary_groups = {{"no-such-group"}}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-group")));
}

TEST_F(ExecIdentityTest, SettingsThatCannotBeAreRefused) {
  const struct {
    Command command;
    const char* message;
  } kCases[] = {
      {{.argv = {"true"}, .user = "4294967295"}, "4294967295"},
      {{.argv = {"true"}, .user = "99999999999999999999"}, "99999999999999999999"},
      {{.argv = {"true"}, .user = absl::StrCat(kOtherUid)}, "group has to be given"},
      {{.argv = {"true"}, .user = std::string("a\0b", 3)}, "NUL byte"},
      {{.argv = {"true"}, .group = "4294967295"}, "4294967295"},
      {{.argv = {"true"}, .supplementary_groups = {{""}}}, "empty"},
      {{.argv = {"true"}, .nice = 20}, "nice 20"},
      {{.argv = {"true"}, .nice = -21}, "nice -21"},
      {{.argv = {"true"}, .cpus = {0, -1}}, "-1 is no processor"},
      {{.argv = {"true"}, .cpus = {1 << 16}}, "65536 is no processor"},
      {{.argv = {"true"}, .cpus = {65535}}, "sched_setaffinity(cpus 65535)"},
  };
  for (const auto& each : kCases) {
    EXPECT_THAT(Exec(each.command), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(each.message)));
  }
}

TEST_F(ExecIdentityTest, NiceIsSetForTheCommandAlone) {
  const int before = ::getpriority(PRIO_PROCESS, 0);
  EXPECT_EQ(OutputOf({.argv = {"nice"}, .nice = 19}), "19\n");
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), before);
}

TEST_F(ExecIdentityTest, CpusAreSetForTheCommandAlone) {
  cpu_set_t before, after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) last = cpu;
  }
  EXPECT_EQ(OutputOf({.argv = {"sed", "-n", "s/^Cpus_allowed_list:[[:space:]]*//p", "/proc/self/status"},
                      .cpus = {last}}),
            absl::StrCat(last, "\n"));
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST_F(ExecIdentityTest, NoNewPrivsIsSetForTheCommandAlone) {
  const int before = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  EXPECT_EQ(OutputOf({.argv = {"sed", "-n", "s/^NoNewPrivs:[[:space:]]*//p", "/proc/self/status"},
                      .no_new_privs = true}),
            "1\n");
  EXPECT_EQ(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), before);
}

TEST_F(ExecIdentityTest, SignalMaskIsTheGivenOne) {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGUSR1);
  EXPECT_EQ(OutputOf({.argv = {"sed", "-n", "s/^SigBlk:[[:space:]]*//p", "/proc/self/status"},
                      .signal_mask = mask}),
            "0000000000000200\n");
}

}  // namespace
}  // namespace ko
