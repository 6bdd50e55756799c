#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/process/exec.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/read_all.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/temp_dir.h"

// Where the standard streams of a command may lead.

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::ReadAll;
using testing::ReadFile;
using testing::StatusIs;
using testing::TempDir;

const char* const kBothStreams = "echo out; echo err >&2";

class ExecStdioTest : public testing::LeakCheckedTest {
 protected:
  static void Run(const Command& command) {
    absl::StatusOr<Child> child = Exec(command);
    ASSERT_THAT(child, IsOk());
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  }
};

TEST_F(ExecStdioTest, PipesGoBothWays) {
  absl::StatusOr<Child> child = Exec({.argv = {"sh", "-c", "cat; echo err >&2"},
                                      .stdin_from = Stdio::Pipe(),
                                      .stdout_to = Stdio::Pipe(),
                                      .stderr_to = Stdio::Pipe()});
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(::write(child->stdin_fd(), "hello", 5), 5);
  child->CloseStdin();
  EXPECT_EQ(child->stdin_fd(), -1);
  EXPECT_EQ(ReadAll(child->stdout_fd()), "hello");
  EXPECT_EQ(ReadAll(child->stderr_fd()), "err\n");
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ExecStdioTest, PipeCarriesMoreThanItsBuffer) {
  constexpr size_t kBytes = 3 << 20;
  absl::StatusOr<Child> child =
      Exec({.argv = {"cat"}, .stdin_from = Stdio::Pipe(), .stdout_to = Stdio::Pipe()});
  ASSERT_THAT(child, IsOk());
  std::thread writer([&child] {
    const std::string text(kBytes, 'x');
    for (size_t written = 0; written < kBytes;) {
      const ssize_t size = ::write(child->stdin_fd(), text.data() + written, kBytes - written);
      if (size <= 0) break;
      written += static_cast<size_t>(size);
    }
    child->CloseStdin();
  });
  EXPECT_EQ(ReadAll(child->stdout_fd()).size(), kBytes);
  writer.join();
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
}

TEST_F(ExecStdioTest, OurEndsAreCloseOnExecAndNoOtherChildHoldsThem) {
  absl::StatusOr<Child> first =
      Exec({.argv = {"cat"}, .stdin_from = Stdio::Pipe(), .stdout_to = Stdio::Pipe()});
  ASSERT_THAT(first, IsOk());
  EXPECT_NE(::fcntl(first->stdin_fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(first->stdout_fd(), F_GETFD) & FD_CLOEXEC, 0);
  absl::StatusOr<Child> second = Exec({.argv = {"sleep", "1000"}});
  ASSERT_THAT(second, IsOk());
  first->CloseStdin();
  EXPECT_THAT(first->Wait(), IsOkAndHolds(ExitStatus::Exited(0)))
      << "the second one would keep its input open";
}

TEST_F(ExecStdioTest, StreamsThatAreNoPipeHaveNoDescriptorHere) {
  absl::StatusOr<Child> child = Exec(
      {.argv = {"true"}, .stdin_from = Stdio::Null(), .stdout_to = Stdio::Null(), .stderr_to = Stdio::Fd(2)});
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(child->stdin_fd(), -1);
  EXPECT_EQ(child->stdout_fd(), -1);
  EXPECT_EQ(child->stderr_fd(), -1);
}

TEST_F(ExecStdioTest, WritingToACommandThatHasGoneIsSigpipe) {
  absl::StatusOr<Child> child = Exec({.argv = {"true"}, .stdin_from = Stdio::Pipe()});
  ASSERT_THAT(child, IsOk());
  ASSERT_THAT(child->Wait(), IsOk());
  EXPECT_EQ(InChild([&child] { ::write(child->stdin_fd(), "x", 1); }).term_signal, SIGPIPE);
}

TEST_F(ExecStdioTest, InheritedOnesAreThisProcesses) {
  const testing::InChildResult result = InChild([] { Run({.argv = {"sh", "-c", kBothStreams}}); });
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(ExecStdioTest, NullSwallowsOutputAndEndsInput) {
  const testing::InChildResult result = InChild([] {
    Run({.argv = {"sh", "-c", absl::StrCat("cat; ", kBothStreams)},
         .stdin_from = Stdio::Null(),
         .stdout_to = Stdio::Null(),
         .stderr_to = Stdio::Null()});
  });
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "");
}

TEST_F(ExecStdioTest, FileIsReadCreatedTruncatedOrAppendedTo) {
  const TempDir folder;
  const std::string in = folder.Write("in", "from the file");
  const std::string out = folder.File("out");
  Run({.argv = {"cat"}, .stdin_from = Stdio::File(in), .stdout_to = Stdio::File(out)});
  EXPECT_EQ(ReadFile(out), "from the file");
  Run({.argv = {"echo", "new"}, .stdout_to = Stdio::File(out)});
  EXPECT_EQ(ReadFile(out), "new\n");
  Run({.argv = {"echo", "more"}, .stdout_to = Stdio::AppendToFile(out)});
  EXPECT_EQ(ReadFile(out), "new\nmore\n");
  struct stat file;
  ASSERT_EQ(::stat(out.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777 & ~0644u, 0u);
}

TEST_F(ExecStdioTest, FileThatCannotBeOpenedIsAnErrorThatNamesIt) {
  const TempDir folder;
  EXPECT_THAT(Exec({.argv = {"true"}, .stdin_from = Stdio::File("/no/such/file")}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("open(/no/such/file)")));
  EXPECT_THAT(Exec({.argv = {"true"}, .stdout_to = Stdio::File("/no/such/folder/file")}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/file")));
  EXPECT_FALSE(Exec({.argv = {"true"}, .stderr_to = Stdio::File(folder.path())}).ok());
  EXPECT_FALSE(Exec({.argv = {"true"}, .stdin_from = Stdio::File("")}).ok());
}

TEST_F(ExecStdioTest, DescriptorIsCopiedAndStaysTheCallers) {
  const TempDir folder;
  const std::string path = folder.File("out");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  Run({.argv = {"sh", "-c", kBothStreams}, .stdout_to = Stdio::Fd(fd), .stderr_to = Stdio::Fd(fd)});
  EXPECT_EQ(::write(fd, "mine", 4), 4);
  ::close(fd);
  EXPECT_EQ(ReadFile(path), "out\nerr\nmine");
}

TEST_F(ExecStdioTest, DescriptorThatIsNotOpenIsAnError) {
  EXPECT_FALSE(Exec({.argv = {"true"}, .stdout_to = Stdio::Fd(-1)}).ok());
  EXPECT_THAT(Exec({.argv = {"true"}, .stdout_to = Stdio::Fd(987)}).status().message(), HasSubstr("987"));
}

TEST_F(ExecStdioTest, OutputAndErrorCanBeSwapped) {
  const testing::InChildResult result = InChild([] {
    Run({.argv = {"sh", "-c", kBothStreams}, .stdout_to = Stdio::Fd(2), .stderr_to = Stdio::Fd(1)});
  });
  EXPECT_EQ(result.out, "err\n");
  EXPECT_EQ(result.err, "out\n");
}

TEST_F(ExecStdioTest, FdNamesTheCallersDescriptorWhateverTheStreamBecomes) {
  const testing::InChildResult result = InChild([] {
    absl::StatusOr<Child> child =
        Exec({.argv = {"sh", "-c", kBothStreams}, .stdout_to = Stdio::Pipe(), .stderr_to = Stdio::Fd(1)});
    EXPECT_THAT(child, IsOk());
    EXPECT_EQ(ReadAll(child->stdout_fd()), "out\n");
    EXPECT_THAT(child->Wait(), IsOk());
  });
  EXPECT_EQ(result.out, "err\n");
}

TEST_F(ExecStdioTest, WorksWhereThisProcessHasNoStandardStreams) {
  InChild([] {
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    absl::StatusOr<Child> child = Exec({.argv = {"sh", "-c", "cat; echo err >&2"},
                                        .stdin_from = Stdio::Pipe(),
                                        .stdout_to = Stdio::Pipe(),
                                        .stderr_to = Stdio::Pipe()});
    EXPECT_THAT(child, IsOk());
    for (const int fd : {child->stdin_fd(), child->stdout_fd(), child->stderr_fd()}) {
      EXPECT_GE(fd, 3) << "what this process prints would go to the command";
    }
    EXPECT_EQ(::write(child->stdin_fd(), "hello", 5), 5);
    child->CloseStdin();
    EXPECT_EQ(ReadAll(child->stdout_fd()), "hello");
    EXPECT_EQ(ReadAll(child->stderr_fd()), "err\n");
    EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(0)));
  });
}

TEST_F(ExecStdioTest, NullWorksWhereThisProcessHasNoStandardStreams) {
  InChild([] {
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    Run({.argv = {"sh", "-c", kBothStreams},
         .stdin_from = Stdio::Null(),
         .stdout_to = Stdio::Null(),
         .stderr_to = Stdio::Null()});
    for (int fd = 0; fd < 3; ++fd) EXPECT_EQ(::fcntl(fd, F_GETFD), -1) << fd;
  });
}

// With any number of free descriptors it is a child or an error, and afterwards as many are free as before.
TEST_F(ExecStdioTest, EachNumberOfFreeDescriptorsIsAChildOrAClearError) {
  int enough = -1;
  for (int free = 0; free <= 12 && enough < 0; ++free) {
    const testing::InChildResult result = InChild([free] {
      const int lowest = ::dup(0);
      ::closefrom(lowest);
      const auto limit = static_cast<rlim_t>(lowest + free);
      const rlimit limits = {limit, limit};
      ::setrlimit(RLIMIT_NOFILE, &limits);
      {
        absl::StatusOr<Child> child = Exec({.argv = {"/bin/cat"},
                                            .stdin_from = Stdio::Pipe(),
                                            .stdout_to = Stdio::Pipe(),
                                            .stderr_to = Stdio::Pipe()});
        if (child.ok()) return "enough";
        EXPECT_THAT(child, StatusIs(absl::StatusCode::kResourceExhausted));
      }
      for (int i = 0; i < free; ++i) EXPECT_GE(::dup(0), 0) << i << " of " << free;
      return "";
    });
    if (result.value == "enough") enough = free;
  }
  EXPECT_GT(enough, 3) << "three pipe ends and the pidfd";
}

}  // namespace
}  // namespace ko
