#include "ko/process/listen.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ko/process/fork.h"
#include "ko/testing/gate.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/short_folder.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::ShortFolder;
using testing::StatusIs;

class ListenTest : public testing::LeakCheckedTest {};

// Connects to whatever `listener` listens at; false where nobody answers.
bool CanConnect(int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const os::UniqueFd client(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size) == 0;
}

std::string PortOf(const os::UniqueFd& fd) {
  sockaddr_in address;
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return absl::StrCat(ntohs(address.sin_port));
}

bool HasIpv6() {
  const os::UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return fd.valid() && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

TEST_F(ListenTest, TcpOfVersionFourAcceptsConnections) {
  absl::StatusOr<os::UniqueFd> fd = Listen("127.0.0.1:0");
  ASSERT_THAT(fd, IsOk());
  EXPECT_TRUE(CanConnect(fd->get()));
}

TEST_F(ListenTest, TcpOfVersionSixAcceptsConnections) {
  if (!HasIpv6()) GTEST_SKIP() << "this machine has no IPv6";
  absl::StatusOr<os::UniqueFd> fd = Listen("[::1]:0");
  ASSERT_THAT(fd, IsOk());
  EXPECT_TRUE(CanConnect(fd->get()));
}

TEST_F(ListenTest, PortAloneMeansAllAddressesOfBothFamilies) {
  const testing::InChildResult result = testing::InChild([]() -> std::string {
    // Where nobody but the test can connect.
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return "skip";
    absl::StatusOr<os::UniqueFd> fd = Listen(":8080");
    EXPECT_THAT(fd, IsOk());
    sockaddr_in6 address = {};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    if (address.sin6_family == AF_INET) return "";  // a kernel without IPv6
    EXPECT_EQ(address.sin6_family, AF_INET6);
    EXPECT_EQ(ntohs(address.sin6_port), 8080);
    EXPECT_TRUE(IN6_IS_ADDR_UNSPECIFIED(&address.sin6_addr));
    int v6_only = 1;
    size = sizeof v6_only;
    EXPECT_EQ(::getsockopt(fd->get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size), 0);
    EXPECT_EQ(v6_only, 0);
    return "";
  });
  if (result.value == "skip") GTEST_SKIP() << "this process may not make network namespaces";
}

TEST_F(ListenTest, TakenPortIsAnErrorAndIsFreeAtOnceAfterwards) {
  absl::StatusOr<os::UniqueFd> fd = Listen("127.0.0.1:0");
  ASSERT_THAT(fd, IsOk());
  const std::string address = absl::StrCat("127.0.0.1:", PortOf(*fd));
  EXPECT_THAT(Listen(address), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(address)));
  EXPECT_TRUE(CanConnect(fd->get()));
}

TEST_F(ListenTest, PathAcceptsConnectionsAndIsTakenWhileItDoes) {
  const ShortFolder folder;
  absl::StatusOr<os::UniqueFd> fd = Listen(folder.File("socket"));
  ASSERT_THAT(fd, IsOk());
  EXPECT_TRUE(CanConnect(fd->get()));
  EXPECT_THAT(Listen(folder.File("socket")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("socket): Address already in use")));
  EXPECT_TRUE(CanConnect(fd->get()));
}

TEST_F(ListenTest, FileOfASocketWhoseServerWasKilledIsReplaced) {
  const ShortFolder folder;
  absl::StatusOr<Child> server = Fork([&] {
    absl::StatusOr<os::UniqueFd> fd = Listen(folder.File("socket"));
    EXPECT_THAT(fd, IsOk());
    ::raise(SIGKILL);
  });
  ASSERT_THAT(server->Wait(), IsOkAndHolds(ExitStatus::Signaled(SIGKILL)));
  struct stat file;
  ASSERT_EQ(::stat(folder.File("socket").c_str(), &file), 0);
  absl::StatusOr<os::UniqueFd> fd = Listen(folder.File("socket"));
  ASSERT_THAT(fd, IsOk());
  EXPECT_TRUE(CanConnect(fd->get()));
}

TEST_F(ListenTest, OfManyThatReplaceADeadSocketAtOnceExactlyOneListens) {
  const ShortFolder folder;
  ASSERT_THAT(Listen(folder.File("socket")), IsOk()) << "and is closed at once, which leaves the file";
  constexpr int kRacers = 8;
  testing::Gate start, tried, end;
  std::vector<Child> racers;
  for (int i = 0; i < kRacers; ++i) {
    absl::StatusOr<Child> racer = Fork([&] {
      start.Pass();
      const absl::StatusOr<os::UniqueFd> fd = Listen(folder.File("socket"));
      tried.Open();
      end.Pass();  // it goes on listening until all have tried
      return fd.ok() ? 0 : 1;
    });
    ASSERT_THAT(racer, IsOk());
    racers.push_back(*std::move(racer));
  }
  for (int i = 0; i < kRacers; ++i) start.Open();
  for (int i = 0; i < kRacers; ++i) tried.Pass();
  for (int i = 0; i < kRacers; ++i) end.Open();
  int winners = 0;
  for (Child& racer : racers) winners += racer.Wait()->ok() ? 1 : 0;
  EXPECT_EQ(winners, 1);
}

TEST_F(ListenTest, FileThatIsNoSocketIsLeftAlone) {
  const ShortFolder folder;
  const std::string path = folder.Write("file", "text");
  EXPECT_THAT(Listen(path), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path)));
  struct stat file;
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_TRUE(S_ISREG(file.st_mode));
}

TEST_F(ListenTest, AbstractNameLeavesNothing) {
  const std::string name = absl::StrCat("@ko-listen-test-", ::getpid());
  for (int round = 0; round < 2; ++round) {
    absl::StatusOr<os::UniqueFd> fd = Listen(name);
    ASSERT_THAT(fd, IsOk());
    EXPECT_TRUE(CanConnect(fd->get()));
    EXPECT_THAT(Listen(name), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
}

TEST_F(ListenTest, WhatIsNoAddressIsRefused) {
  for (const std::string& address :
       {std::string(""), std::string("8080"), std::string("localhost:80"), std::string("127.0.0.1:"),
        std::string("127.0.0.1:65536"), std::string("127.0.0.1:-1"), std::string("127.0.0.1:99999999999"),
        std::string("::1:80"), std::string("[127.0.0.1]:80"), std::string("[]:80"), std::string("@"),
        "/" + std::string(200, 'x'), "@" + std::string(200, 'x'), std::string("/a\0b", 4)}) {
    EXPECT_THAT(Listen(address), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Listen(")))
        << address;
  }
}

TEST_F(ListenTest, FolderThatIsMissingIsNotFound) {
  EXPECT_THAT(Listen("/no/such/folder/socket"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace ko
