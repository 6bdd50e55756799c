#include "ko/process/service_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/short_folder.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using ::testing::HasSubstr;
using testing::InChild;
using testing::IsOk;
using ::testing::MatchesRegex;
using testing::ShortFolder;
using testing::StatusIs;
using Environment = ServiceNotifier::Environment;

// A service manager's end: a datagram socket at a path, or at "@name".
class Manager {
 public:
  explicit Manager(const std::string& address) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.data(), address.size());
    if (address[0] == '@') name.sun_path[0] = '\0';
    const size_t size = offsetof(sockaddr_un, sun_path) + address.size() + (address[0] == '@' ? 0 : 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), static_cast<socklen_t>(size)), 0);
    ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
  }

  std::string Receive() {
    char buffer[4096];
    const ssize_t size = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    return size < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(size));
  }
  bool HasNothing() {
    char byte;
    return ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT) < 0;
  }

 private:
  os::UniqueFd fd_;
};

class ServiceNotifierTest : public testing::LeakCheckedTest {
 protected:
  // The environment is a child's, so that tests in one process do not meet in it.
  template <class Run>
  void InService(Run run) {
    InChild([&] {
      for (const char* variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(variable);
      run();
    });
  }
  static ServiceNotifier Notifier() {
    absl::StatusOr<ServiceNotifier> notifier = ServiceNotifier::FromEnvironment(Environment::kKeep);
    EXPECT_THAT(notifier, IsOk());
    return *std::move(notifier);
  }
  const ShortFolder folder_;
};

TEST_F(ServiceNotifierTest, EveryMessageArrivesAsTheProtocolHasIt) {
  for (const std::string& address : {folder_.File("notify"), absl::StrCat("@ko-notify-test-", ::getpid())}) {
    InService([&] {
      Manager manager(address);
      ServiceNotifier notifier = Notifier();
      EXPECT_TRUE(notifier.IsActive());
      EXPECT_THAT(notifier.Ready(), IsOk());
      EXPECT_EQ(manager.Receive(), "READY=1");
      EXPECT_THAT(notifier.Stopping(), IsOk());
      EXPECT_EQ(manager.Receive(), "STOPPING=1");
      EXPECT_THAT(notifier.Reloading(), IsOk());
      EXPECT_THAT(manager.Receive(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"));
      EXPECT_THAT(notifier.Watchdog(), IsOk());
      EXPECT_EQ(manager.Receive(), "WATCHDOG=1");
      EXPECT_THAT(notifier.Status("3 of 4 workers"), IsOk());
      EXPECT_EQ(manager.Receive(), "STATUS=3 of 4 workers");
      EXPECT_THAT(notifier.MainPid(77), IsOk());
      EXPECT_EQ(manager.Receive(), "MAINPID=77");
      EXPECT_THAT(notifier.Send("READY=1\nFDSTORE=1"), IsOk());
      EXPECT_EQ(manager.Receive(), "READY=1\nFDSTORE=1");
    });
  }
}

TEST_F(ServiceNotifierTest, WithoutAManagerEveryCallIsOkAndDoesNothing) {
  InService([] {
    ServiceNotifier notifier = Notifier();
    EXPECT_FALSE(notifier.IsActive());
    EXPECT_EQ(notifier.watchdog_interval(), std::nullopt);
    EXPECT_THAT(notifier.Ready(), IsOk());
    EXPECT_THAT(notifier.Watchdog(), IsOk());
  });
}

TEST_F(ServiceNotifierTest, VariablesAreRemovedUnlessAskedNotTo) {
  InService([&] {
    Manager manager(folder_.File("notify"));
    ::setenv("WATCHDOG_USEC", "1000", 1);
    EXPECT_THAT(ServiceNotifier::FromEnvironment(Environment::kKeep), IsOk());
    EXPECT_NE(::getenv("NOTIFY_SOCKET"), nullptr);
    absl::StatusOr<ServiceNotifier> notifier = ServiceNotifier::FromEnvironment();
    ASSERT_THAT(notifier, IsOk());
    EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
    EXPECT_EQ(::getenv("WATCHDOG_USEC"), nullptr);
    EXPECT_THAT(notifier->Ready(), IsOk());
    EXPECT_EQ(manager.Receive(), "READY=1");
  });
}

TEST_F(ServiceNotifierTest, WatchdogIntervalIsTheEnvironments) {
  InService([&] {
    Manager manager(folder_.File("notify"));
    ::setenv("WATCHDOG_USEC", "2500000", 1);
    EXPECT_EQ(Notifier().watchdog_interval(), absl::Milliseconds(2500));
    ::setenv("WATCHDOG_PID", absl::StrCat(::getpid()).c_str(), 1);
    EXPECT_EQ(Notifier().watchdog_interval(), absl::Milliseconds(2500));
    ::setenv("WATCHDOG_PID", absl::StrCat(::getppid()).c_str(), 1);
    EXPECT_EQ(Notifier().watchdog_interval(), std::nullopt) << "another process's";
  });
}

TEST_F(ServiceNotifierTest, VariablesThatMakeNoSenseAreErrors) {
  const struct {
    const char* variable;
    std::string value;
    absl::StatusCode code;
  } kCases[] = {
      {"NOTIFY_SOCKET", "vsock:2:1234", absl::StatusCode::kUnimplemented},
      {"NOTIFY_SOCKET", "notify", absl::StatusCode::kUnimplemented},
      {"NOTIFY_SOCKET", "@", absl::StatusCode::kUnimplemented},
      {"NOTIFY_SOCKET", "/" + std::string(200, 'x'), absl::StatusCode::kInvalidArgument},
      {"WATCHDOG_USEC", "0", absl::StatusCode::kInvalidArgument},
      {"WATCHDOG_USEC", "soon", absl::StatusCode::kInvalidArgument},
      {"WATCHDOG_PID", "me", absl::StatusCode::kInvalidArgument},
  };
  for (const auto& each : kCases) {
    InService([&each] {
      ::setenv("WATCHDOG_USEC", "1000", 1);
      ::setenv(each.variable, each.value.c_str(), 1);
      EXPECT_THAT(ServiceNotifier::FromEnvironment(), StatusIs(each.code, HasSubstr(each.variable)));
      EXPECT_EQ(::getenv(each.variable), nullptr);
    });
  }
}

TEST_F(ServiceNotifierTest, WhatCannotBeToldIsRefused) {
  InService([&] {
    Manager manager(folder_.File("notify"));
    ServiceNotifier notifier = Notifier();
    EXPECT_THAT(notifier.Status("fine\nMAINPID=1"), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(notifier.MainPid(0), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(notifier.Send(""), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_TRUE(manager.HasNothing());
  });
}

TEST_F(ServiceNotifierTest, ManagerThatIsGoneIsAnErrorThatNamesTheSocketAndOneThatIsBackIsTold) {
  InService([&] {
    const std::string path = folder_.File("notify");
    {
      Manager manager(path);
    }
    ServiceNotifier notifier = Notifier();
    EXPECT_THAT(notifier.Ready().message(), HasSubstr(path));
    ::unlink(path.c_str());
    EXPECT_THAT(notifier.Ready(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
    Manager manager(path);
    EXPECT_THAT(notifier.Ready(), IsOk());
    EXPECT_EQ(manager.Receive(), "READY=1");
  });
}

}  // namespace
}  // namespace ko
