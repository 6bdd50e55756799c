#include "ko/proctitle/process_title.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/fail_syscall.h"
#include "ko/testing/in_child.h"
#include "ko/testing/mount_over.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::ReadFile;
using testing::StatusIs;

// Every test runs in a child of its own: the title belongs to the whole process.

std::string CommandLine() { return ReadFile("/proc/self/cmdline"); }
std::string Name() { return ReadFile("/proc/self/comm"); }

// What the kernel shows for a title.
std::string Shown(std::string_view title) { return std::string(title) + '\0'; }

// A text whose every position tells which one it is.
std::string TextOf(size_t bytes) {
  std::string text;
  while (text.size() < bytes) absl::StrAppend(&text, text.size(), " ");
  text.resize(bytes);
  return text;
}

// What `ps` itself prints; empty where there is no ps.
std::string Ps(const std::string& column) {
  const std::string command = absl::StrCat("ps -ww -o ", column, "= -p ", ::getpid(), " 2>/dev/null");
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text = testing::ReadAll(::fileno(pipe));
  ::pclose(pipe);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

[[maybe_unused]] size_t Mappings() {
  const std::string maps = ReadFile("/proc/self/maps");
  return static_cast<size_t>(std::count(maps.begin(), maps.end(), '\n'));
}

TEST(ProcessTitleTest, TitlesOfAnyLengthAreShownExactly) {
  const auto child = InChild([] {
    for (size_t bytes : {0, 1, 15, 16, 4093, 4094, 4095, 4096, 4097, 100'000, 17, 4096, 0, 5'000, 4'094, 1}) {
      const std::string title = TextOf(bytes);
      EXPECT_THAT(SetProcessTitle(title), IsOk());
      EXPECT_EQ(CommandLine(), Shown(title)) << bytes;
      EXPECT_EQ(Name(), title.substr(0, 15) + '\n');
      EXPECT_EQ(GetProcessTitle(), title);
    }
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, BytesThatAreNoTextPassUnchanged) {
  const auto child = InChild([] {
    std::string all;
    for (int byte = 1; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    for (const std::string& title :
         {all, std::string("%s%n%d"), std::string("a\nb\tc"), std::string("a\0b\0", 4)}) {
      EXPECT_THAT(SetProcessTitle(title), IsOk());
      EXPECT_EQ(CommandLine(), Shown(title));
      EXPECT_EQ(GetProcessTitle(), title);
    }
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, PsShowsIt) {
  const auto child = InChild([]() -> std::string {
    if (Ps("pid").empty()) return "there is no ps";
    EXPECT_THAT(SetProcessTitle("worker 3: idle for a while"), IsOk());
    EXPECT_EQ(Ps("args"), "worker 3: idle for a while");
    EXPECT_EQ(Ps("comm"), "worker 3: idle ");
    EXPECT_THAT(SetProcessTitle(TextOf(5'000)), IsOk());
    EXPECT_EQ(Ps("args"), TextOf(5'000));
    EXPECT_THAT(SetProcessTitle(""), IsOk());
    EXPECT_EQ(Ps("args"), "-");
    return "";
  });
  EXPECT_TRUE(child.ok());
  if (!child.value.empty()) GTEST_SKIP() << child.value;
}

TEST(ProcessTitleTest, AnOrdinaryUserMaySetIt) {
  const auto child = InChild([] {
    // Where there is no other user to become, as in a sandbox, this one without its privileges.
    if (::setuid(65534) != 0) {
      __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
      __user_cap_data_struct none[2] = {};
      EXPECT_EQ(::syscall(SYS_capset, &header, none), 0);
    }
    ::prctl(PR_SET_DUMPABLE, 1);  // as for a program that an ordinary user has started: /proc/self is its own
    EXPECT_TRUE(IsProcessTitleSupported());
    EXPECT_THAT(SetProcessTitle("ordinary"), IsOk());
    EXPECT_EQ(CommandLine(), Shown("ordinary"));
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, AChildsTitleLeavesTheParentsAlone) {
  const auto child = InChild([] {
    EXPECT_THAT(SetProcessTitle("parent"), IsOk());
    const auto grandchild = InChild([] {
      EXPECT_EQ(GetProcessTitle(), "parent");
      EXPECT_EQ(CommandLine(), Shown("parent"));
      EXPECT_THAT(SetProcessTitle("child of another kind"), IsOk());
      EXPECT_EQ(CommandLine(), Shown("child of another kind"));
    });
    EXPECT_TRUE(grandchild.ok());
    EXPECT_EQ(CommandLine(), Shown("parent"));
    EXPECT_EQ(GetProcessTitle(), "parent");
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, ArgumentsAndEnvironmentStayAsTheyAre) {
  const auto child = InChild([] {
    ::setenv("KO_TITLE_TEST", "before", 1);
    const std::string name = program_invocation_name;
    const std::string environment = ReadFile("/proc/self/environ");
    EXPECT_FALSE(environment.empty());
    for (size_t bytes : {10, 5'000, 20}) EXPECT_THAT(SetProcessTitle(TextOf(bytes)), IsOk());
    EXPECT_EQ(ReadFile("/proc/self/environ"), environment);
    EXPECT_EQ(std::string(program_invocation_name), name);
    EXPECT_STREQ(::getenv("KO_TITLE_TEST"), "before");
    ::setenv("KO_TITLE_TEST", "after", 1);
    EXPECT_THAT(SetProcessTitle("after setenv"), IsOk());
    EXPECT_EQ(CommandLine(), Shown("after setenv"));
    EXPECT_STREQ(::getenv("KO_TITLE_TEST"), "after");
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, BeforeTheFirstItIsTheCommandLine) {
  const auto child = InChild([] {
    std::string expected = CommandLine();
    expected.pop_back();
    std::replace(expected.begin(), expected.end(), '\0', ' ');
    EXPECT_EQ(GetProcessTitle(), expected);
  });
  EXPECT_TRUE(child.ok());
}

TEST(ScopedProcessTitleTest, BringsBackWhatWasThere) {
  const auto child = InChild([] {
    const std::string original = CommandLine(), name = Name(), title = GetProcessTitle();
    {
      const ScopedProcessTitle outer("outer");
      EXPECT_EQ(CommandLine(), Shown("outer"));
      {
        const ScopedProcessTitle inner(TextOf(9'000));
        EXPECT_EQ(CommandLine(), Shown(TextOf(9'000)));
      }
      EXPECT_EQ(CommandLine(), Shown("outer"));
      EXPECT_EQ(Name(), "outer\n");
    }
    EXPECT_EQ(CommandLine(), original);
    EXPECT_EQ(Name(), name);
    EXPECT_EQ(GetProcessTitle(), title);
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, TheMixinGivesItToAClass) {
  class Master : public ProcessTitle {};
  const auto child = InChild([] {
    const Master master;
    EXPECT_TRUE(master.IsProcessTitleSupported());
    EXPECT_THAT(master.SetProcessTitle("I_am_a_master!"), IsOk());
    EXPECT_EQ(master.GetProcessTitle(), "I_am_a_master!");
    EXPECT_EQ(CommandLine(), Shown("I_am_a_master!"));
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, AnotherShortTitleCostsNoSystemCall) {
  const auto child = InChild([] {
    EXPECT_THAT(SetProcessTitle("the same beginning: 1"), IsOk());
    // In strict mode the kernel kills a process that makes any call but read, write, exit and sigreturn.
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) ::_exit(2);
    const bool set =
        SetProcessTitle("the same beginning: 22").ok() && SetProcessTitle("the same beginning").ok();
    ::syscall(SYS_exit, set ? 0 : 1);
  });
  EXPECT_EQ(child.exit_code, 0);
}

// Not under AddressSanitizer, whose allocator makes mappings of its own for the strings.
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER)
TEST(ProcessTitleTest, ManyTitlesLeaveNoMappingBehind) {
  const auto child = InChild([] {
    EXPECT_THAT(SetProcessTitle("first"), IsOk());
    const size_t before = Mappings();
    for (int i = 0; i < 300; ++i) EXPECT_THAT(SetProcessTitle(TextOf(i % 3 * 5'000)), IsOk());
    EXPECT_LE(Mappings(), before + 1);
  });
  EXPECT_TRUE(child.ok());
}
#endif

TEST(ProcessTitleTest, AThreadSetsTheNameOfTheProcessNotItsOwn) {
  const auto child = InChild([] {
    std::thread([] {
      const std::string own = ReadFile(absl::StrCat("/proc/self/task/", ::gettid(), "/comm"));
      EXPECT_THAT(SetProcessTitle("from a thread"), IsOk());
      EXPECT_EQ(ReadFile(absl::StrCat("/proc/self/task/", ::gettid(), "/comm")), own);
    }).join();
    EXPECT_EQ(Name(), "from a thread\n");
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, ReadersNeverSeeMoreThanTheTitlesBeingSet) {
  const auto child = InChild([] {
    EXPECT_THAT(SetProcessTitle("aaaa"), IsOk());
    std::atomic<bool> done = false;
    std::vector<std::thread> setters;
    for (const char letter : {'a', 'b'}) {
      setters.emplace_back([&done, letter] {
        for (size_t i = 0; !done; ++i) {
          EXPECT_THAT(SetProcessTitle(std::string(i % 7 == 0 ? 6'000 : i % 50, letter)), IsOk());
        }
      });
    }
    for (int i = 0; i < 2'000; ++i) {
      const std::string shown = CommandLine();
      EXPECT_LE(shown.size(), 8'192u);
      EXPECT_EQ(shown.find_first_not_of(std::string("ab\0", 3)), std::string::npos) << shown;
    }
    // A child that is forked meanwhile can set its own.
    for (int i = 0; i < 50; ++i) {
      const pid_t forked = ::fork();
      if (forked == 0) ::_exit(SetProcessTitle("forked").ok() && CommandLine() == Shown("forked") ? 0 : 1);
      int status = -1;
      ::waitpid(forked, &status, 0);
      EXPECT_EQ(status, 0);
    }
    done = true;
    for (std::thread& setter : setters) setter.join();
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, WhereTheKernelRefusesItIsUnimplementedAndNothingChanges) {
  const auto child = InChild([] {
    const std::string before = CommandLine(), name = Name();
    testing::FailSyscall(SYS_prctl, EPERM);
    EXPECT_FALSE(IsProcessTitleSupported());
    EXPECT_THAT(SetProcessTitle("refused"),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("PR_SET_MM_MAP")));
    EXPECT_EQ(CommandLine(), before);
    EXPECT_EQ(Name(), name);
    {
      const ScopedProcessTitle scoped("refused too");
    }
    EXPECT_EQ(CommandLine(), before);
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, WithoutMemoryTheOldTitleStays) {
  const auto child = InChild([] {
    EXPECT_THAT(SetProcessTitle("old"), IsOk());
    const std::string long_title = TextOf(20'000);
    testing::FailSyscall(SYS_mmap, ENOMEM);
    EXPECT_THAT(SetProcessTitle(long_title), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_EQ(GetProcessTitle(), "old");
    EXPECT_THAT(SetProcessTitle("new"), IsOk());
    EXPECT_EQ(CommandLine(), Shown("new"));
  });
  EXPECT_TRUE(child.ok());
}

TEST(ProcessTitleTest, WithoutProcThereIsAClearError) {
  const auto child = InChild([]() -> std::string {
    if (!testing::MountOver("/proc")) return "mount namespaces are not to be had";
    EXPECT_FALSE(IsProcessTitleSupported());
    EXPECT_THAT(SetProcessTitle("title"),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("/proc/self/stat")));
    EXPECT_EQ(GetProcessTitle(), "");
    return "";
  });
  EXPECT_TRUE(child.ok());
  if (!child.value.empty()) GTEST_SKIP() << child.value;
}

}  // namespace
}  // namespace ko
