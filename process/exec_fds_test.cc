#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/os/unique_fd.h"
#include "ko/process/exec.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// Descriptors that a command inherits beside its standard streams, and the sockets handed on to it.

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::MatchesRegex;
using testing::StatusIs;
using testing::TempDir;

std::string OutputOf(Command command) {
  command.stdout_to = Stdio::Pipe();
  absl::StatusOr<Child> child = Exec(command);
  EXPECT_THAT(child, IsOk());
  if (!child.ok()) return "";
  std::string output = testing::ReadAll(child->stdout_fd());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  return output;
}

// Opened files with a text that tells them apart.
class ExecFdsTest : public testing::LeakCheckedTest {
 protected:
  os::UniqueFd Open(const std::string& text) {
    return os::UniqueFd(::open(folder_.Write(text, text).c_str(), O_RDONLY | O_CLOEXEC));
  }

 private:
  TempDir folder_;
};

// The numbers that are open in the command, its shell's own aside.
Command ListFds() { return {.argv = {"sh", "-c", "cd /proc/$$/fd && echo *"}}; }

TEST_F(ExecFdsTest, FdHasItsNumberAndTheVariableTellsIt) {
  const os::UniqueFd one = Open("one"), two = Open("two");
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "cat <&\"$ONE\"; cat <&7; echo \" $ONE\""},
                      .fds = {{.fd = one.get(), .variable = "ONE"}, {.fd = two.get(), .number = 7}}}),
            "onetwo 3\n");
}

TEST_F(ExecFdsTest, NumbersThatCrossAreNotMixedUp) {
  InChild([this] {
    const os::UniqueFd one = Open("one"), two = Open("two"), three = Open("three");
    EXPECT_EQ(OutputOf({.argv = {"sh", "-c",
                                 absl::StrCat("for fd in ", two.get(), " ", three.get(), " ", one.get(),
                                              "; do eval \"cat <&$fd\"; done")},
                        .fds = {{.fd = one.get(), .number = two.get()},
                                {.fd = two.get(), .number = three.get()},
                                {.fd = three.get(), .number = one.get()}}}),
              "onetwothree");
  });
}

TEST_F(ExecFdsTest, OneFdMayHaveManyNumbersAndStaysTheCallers) {
  const os::UniqueFd one = Open("one");
  const int flags = ::fcntl(one.get(), F_GETFD);
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "readlink /proc/$$/fd/3 /proc/$$/fd/4 | uniq | wc -l"},
                      .fds = {{.fd = one.get()}, {.fd = one.get()}}}),
            "1\n");
  EXPECT_EQ(::fcntl(one.get(), F_GETFD), flags);
}

TEST_F(ExecFdsTest, StandardStreamsMayBeInheritedUnderOtherNumbers) {
  const os::UniqueFd one = Open("one");
  InChild([&] {
    ASSERT_EQ(::dup2(one.get(), 0), 0);
    EXPECT_EQ(
        OutputOf(
            {.argv = {"sh", "-c", "cat <&5"}, .stdin_from = Stdio::Null(), .fds = {{.fd = 0, .number = 5}}}),
        "one");
  });
}

TEST_F(ExecFdsTest, NothingElseIsOpenInTheCommand) {
  const os::UniqueFd one = Open("one");
  InChild([&] {
    for (const int fd : {40, 44, 60}) EXPECT_EQ(::dup2(one.get(), fd), fd);  // none of them close-on-exec
    Command command = ListFds();
    command.fds = {{.fd = one.get(), .number = 42}, {.fd = one.get(), .number = 50}};
    EXPECT_THAT(OutputOf(command), MatchesRegex("0 1 2( [3-9])? 42 50\n"));
  });
}

TEST_F(ExecFdsTest, LimitOnOpenFilesIsTakenAfterThem) {
  const os::UniqueFd one = Open("one");
  EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "cat <&7; ulimit -n"},
                      .limits = {{RLIMIT_NOFILE, {16, 16}}},
                      .fds = {{.fd = one.get(), .number = 7}}}),
            "one16\n");
}

TEST_F(ExecFdsTest, FdThatIsNotOpenIsAnErrorThatNamesIt) {
  EXPECT_THAT(Exec({.argv = {"true"}, .fds = {{.fd = 987}}}).status().message(), HasSubstr("fd 987"));
  EXPECT_THAT(Exec({.argv = {"true"}, .listen_fds = {{.fd = 987}}}).status().message(), HasSubstr("fd 987"));
  EXPECT_THAT(Exec({.argv = {"true"}, .fds = {{.fd = -1}}}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ExecFdsTest, NumberBeyondTheLimitIsAnError) {
  const os::UniqueFd one = Open("one");
  InChild([&] {
    const rlimit limit = {64, 64};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (const int number : {63, 64, (1 << 30) - 1}) {
      EXPECT_THAT(Exec({.argv = {"true"}, .fds = {{.fd = one.get(), .number = number}}}),
                  StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("F_DUPFD")));
    }
    EXPECT_THAT(Exec({.argv = {"true"}, .fds = {{.fd = one.get(), .number = 62}}})->Wait(), IsOk());
  });
}

// With any number of free descriptors it is a command that has them, or an error, and afterwards as many are free
// as before.
TEST_F(ExecFdsTest, EachNumberOfFreeDescriptorsIsACommandOrAClearError) {
  bool enough = false;
  for (int free = 0; free <= 12 && !enough; ++free) {
    const testing::InChildResult result = InChild([this, free] {
      const os::UniqueFd one = Open("one");
      const int lowest = ::dup(0);
      ::closefrom(lowest);
      const auto number = static_cast<rlim_t>(lowest + free);
      const rlimit limit = {number, number};
      ::setrlimit(RLIMIT_NOFILE, &limit);
      {
        absl::StatusOr<Child> child = Exec({.argv = {"/bin/cat", "/proc/self/fd/3"},
                                            .stdout_to = Stdio::Null(),
                                            .fds = {{.fd = one.get()}},
                                            .listen_fds = {{.fd = one.get()}}});
        if (child.ok()) {
          EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
          return "enough";
        }
        EXPECT_THAT(child, StatusIs(absl::StatusCode::kResourceExhausted));
      }
      for (int i = 0; i < free; ++i) EXPECT_GE(::dup(0), 0) << i << " of " << free;
      return "";
    });
    enough = result.value == "enough";
  }
  EXPECT_TRUE(enough);
}

TEST_F(ExecFdsTest, ListenersComeByTheProtocol) {
  const os::UniqueFd one = Open("one"), two = Open("two");
  EXPECT_EQ(
      OutputOf({.argv = {"sh", "-c",
                         "cat <&3; cat <&4; [ $LISTEN_PID = $$ ] && echo \" $LISTEN_FDS $LISTEN_FDNAMES\""},
                .listen_fds = {{.fd = two.get(), .name = "http"}, {.fd = one.get()}}}),
      "twoone 2 http:unknown\n");
}

TEST_F(ExecFdsTest, ListenPidIsEachCommandsOwnAndReplacesAnInheritedOne) {
  const os::UniqueFd one = Open("one");
  InChild([&] {
    ::setenv("LISTEN_PID", "1", 1);
    ::setenv("LISTEN_FDS", "17", 1);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(OutputOf({.argv = {"sh", "-c", "[ $LISTEN_PID = $$ ] && env | grep -c LISTEN_"},
                          .listen_fds = {{.fd = one.get()}}}),
                "3\n");
    }
    EXPECT_STREQ(::getenv("LISTEN_PID"), "1") << "this process's own environment";
  });
}

TEST_F(ExecFdsTest, ListenersGoWithAnEnvironmentOfItsOwnToo) {
  const os::UniqueFd one = Open("one");
  EXPECT_THAT(
      OutputOf({.argv = {"env"}, .env = {{"LISTEN_FDS=9", "A=1"}}, .listen_fds = {{.fd = one.get()}}}),
      MatchesRegex("A=1\nLISTEN_FDS=1\nLISTEN_FDNAMES=unknown\nLISTEN_PID=[0-9]+\n"));
}

}  // namespace
}  // namespace ko
