#include "demos/workers/file_list.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/in_child.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ListFilesTest, FindsRegularFilesInAllFoldersSortedByBytes) {
  const testing::TempDir folder;
  ASSERT_EQ(::mkdir(folder.File("b").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(folder.File("b/c").c_str(), 0755), 0);
  folder.Write("b/c/deep", "");
  folder.Write("b.txt", "");
  folder.Write("B", "");
  folder.Write(".hidden", "");
  ASSERT_EQ(::symlink("B", folder.File("link to file").c_str()), 0);
  ASSERT_EQ(::symlink("b", folder.File("link to folder").c_str()), 0);
  ASSERT_EQ(::mkfifo(folder.File("fifo").c_str(), 0644), 0);

  const absl::StatusOr<FileList> list = ListFiles(folder.path());
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->paths, ElementsAre(folder.File(".hidden"), folder.File("B"), folder.File("b.txt"),
                                       folder.File("b/c/deep")));
  EXPECT_THAT(list->skipped, IsEmpty());
}

TEST(ListFilesTest, AFileIsAListOfItself) {
  const testing::TempDir folder;
  const std::string file = folder.Write("one", "");
  EXPECT_THAT(ListFiles(file)->paths, ElementsAre(file));
}

TEST(ListFilesTest, TheFolderItselfMayBeALink) {
  const testing::TempDir folder;
  folder.Write("one", "");
  const testing::TempDir other;
  ASSERT_EQ(::symlink(folder.path().c_str(), other.File("link").c_str()), 0);
  EXPECT_THAT(ListFiles(other.File("link"))->paths, ElementsAre(other.File("link/one")));
}

TEST(ListFilesTest, WhatIsNotThereOrNoFolderIsNamed) {
  EXPECT_TRUE(absl::IsNotFound(ListFiles("/nowhere").status()));
  EXPECT_TRUE(absl::IsNotFound(ListFiles("").status()));
  const absl::StatusOr<FileList> device = ListFiles("/dev/null");
  EXPECT_TRUE(absl::IsInvalidArgument(device.status()));
  EXPECT_THAT(device.status().message(), HasSubstr("/dev/null"));
}

TEST(ListFilesTest, AFolderThatCannotBeReadIsSkippedAndNamed) {
  const testing::TempDir folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(folder.File("closed").c_str(), 0700), 0);
  folder.Write("open", "");
  const auto child = testing::InChild([&] {
    if (::geteuid() != 0 || ::setuid(65534) != 0)
      return;  // an ordinary user cannot make a folder of somebody else's
    const absl::StatusOr<FileList> list = ListFiles(folder.path());
    if (!list.ok()) return;  // the folders above are not for everybody either
    EXPECT_THAT(list->paths, ElementsAre(folder.File("open")));
    EXPECT_THAT(list->skipped, ElementsAre(HasSubstr(folder.File("closed"))));
  });
  EXPECT_TRUE(child.ok());
}

}  // namespace
}  // namespace ko::demos
