#include "ko/os/named_mapping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"
#include "ko/testing/unique_name.h"

namespace ko::os {
namespace {

using ::ko::testing::InChild;
using ::ko::testing::IsOk;
using ::ko::testing::StatusIs;

void Nothing(void*) {}

class NamedMappingTest : public testing::LeakCheckedTest {
 protected:
  NamedMappingTest() : name_(testing::UniqueName("test")), path_("/dev/shm/ko." + name_) {}
  void TearDown() override {
    ::unlink(path_.c_str());
    LeakCheckedTest::TearDown();
  }

  const std::string name_, path_;
};

TEST_F(NamedMappingTest, IsSharedByAllThatOpenIt) {
  {
    const absl::StatusOr<SharedMapping> made =
        CreateNamedMapping(name_, 10'000, [](void* data) { std::strcpy(static_cast<char*>(data), "made"); });
    ASSERT_THAT(made, IsOk());
    const absl::StatusOr<SharedMapping> opened = OpenNamedMapping("/" + name_, 10'000);
    ASSERT_THAT(opened, IsOk());
    EXPECT_STREQ(static_cast<char*>(opened->data()), "made");
    static_cast<char*>(opened->data())[0] = 'f';
    EXPECT_STREQ(static_cast<char*>(made->data()), "fade");
  }
  EXPECT_THAT(OpenNamedMapping(name_, 1), IsOk()) << "it outlives its processes";
  EXPECT_THAT(UnlinkNamedMapping(name_), IsOk());
  EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(UnlinkNamedMapping(name_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NamedMappingTest, IsForItsUserOnlyWhateverTheUmask) {
  const mode_t old = ::umask(0);
  EXPECT_THAT(CreateNamedMapping(name_, 1, Nothing), IsOk());
  ::umask(old);
  struct stat facts;
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(NamedMappingTest, ANameThatIsTakenIsAlreadyExistsAndLeftAsItWas) {
  ASSERT_THAT(CreateNamedMapping(name_, 100, Nothing), IsOk());
  EXPECT_THAT(CreateNamedMapping(name_, 200, Nothing), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(OpenNamedMapping(name_, 1)->bytes(), 100u);
}

TEST_F(NamedMappingTest, NamesThatAreNoneAreInvalidArgument) {
  for (const std::string& name : {std::string(), std::string("/"), std::string("a/b"), std::string("//a"),
                                  std::string("a\0b", 3), std::string(201, 'a')}) {
    EXPECT_THAT(CreateNamedMapping(name, 1, Nothing), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(OpenNamedMapping(name, 1), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(UnlinkNamedMapping(name), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(NamedMappingTest, WhatOthersMayUseOrHavePlantedIsPermissionDenied) {
  ASSERT_THAT(CreateNamedMapping(name_, 100, Nothing), IsOk());
  ASSERT_EQ(::chmod(path_.c_str(), 0620), 0);
  EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kPermissionDenied));
  ::unlink(path_.c_str());
  ASSERT_EQ(::symlink("/dev/zero", path_.c_str()), 0);
  EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kPermissionDenied));
  ::unlink(path_.c_str());
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(NamedMappingTest, AnotherUsersIsPermissionDenied) {
  ASSERT_THAT(CreateNamedMapping(name_, 100, Nothing), IsOk());
  if (::chown(path_.c_str(), 65534, 65534) != 0) GTEST_SKIP() << "this user may not give files away";
  EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(UnlinkNamedMapping(name_), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(NamedMappingTest, OneThatIsTooSmallIsDataLoss) {
  ASSERT_THAT(CreateNamedMapping(name_, 100, Nothing), IsOk());
  EXPECT_THAT(OpenNamedMapping(name_, 101), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
  EXPECT_THAT(OpenNamedMapping(name_, 0), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(NamedMappingTest, WhatDoesNotFitIsResourceExhaustedAndLeavesNoName) {
  EXPECT_THAT(CreateNamedMapping(name_, size_t{1} << 46, Nothing),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST_F(NamedMappingTest, WithoutDescriptorsIsAnErrorThatSaysSo) {
  InChild([&] {
    const rlimit none = {0, 0};
    ::setrlimit(RLIMIT_NOFILE, &none);
    EXPECT_THAT(CreateNamedMapping(name_, 1, Nothing), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(OpenNamedMapping(name_, 1), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

}  // namespace
}  // namespace ko::os
