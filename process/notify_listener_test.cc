#include "ko/process/notify_listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ko/os/fd_message.h"
#include "ko/process/service_notifier.h"
#include "ko/testing/in_child.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

namespace ko {
namespace {

using testing::InChild;
using testing::IsOk;
using ::testing::StartsWith;
using testing::StatusIs;

// A program without a library for the protocol.
class RawSender {
 public:
  explicit RawSender(const std::string& address) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path + 1, address.data() + 1, address.size() - 1);
    const size_t size = offsetof(sockaddr_un, sun_path) + address.size();
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&name), static_cast<socklen_t>(size)), 0);
  }

  void Send(std::string_view text, std::vector<int> fds = {}) {
    EXPECT_EQ(os::SendMessage(socket_.get(), {&text, 1}, fds, /*block=*/true), 0);
  }

 private:
  os::UniqueFd socket_;
};

class NotifyListenerTest : public testing::LeakCheckedTest {
 protected:
  static NotifyListener Listen() {
    absl::StatusOr<NotifyListener> listener = NotifyListener::Create();
    EXPECT_THAT(listener, IsOk());
    return *std::move(listener);
  }
  static bool IsReadable(const NotifyListener& listener) {
    pollfd poll_fd = {listener.fd(), POLLIN, 0};
    return ::poll(&poll_fd, 1, 0) == 1;
  }
};

TEST_F(NotifyListenerTest, OurServicesWordsArriveInOrderWithTheirPid) {
  NotifyListener listener = Listen();
  const auto result = InChild([&] {
    ::setenv("NOTIFY_SOCKET", listener.address().c_str(), 1);
    absl::StatusOr<ServiceNotifier> service = ServiceNotifier::FromEnvironment();
    EXPECT_THAT(service, IsOk());
    EXPECT_TRUE(service->IsActive());
    EXPECT_THAT(service->Status("starting"), IsOk());
    EXPECT_THAT(service->Ready(), IsOk());
    EXPECT_THAT(service->Watchdog(), IsOk());
    EXPECT_THAT(service->Send("WATCHDOG=trigger\nEXTEND_TIMEOUT_USEC=1000"), IsOk());
    EXPECT_THAT(service->MainPid(77), IsOk());
    EXPECT_THAT(service->Stopping(), IsOk());
    return std::to_string(::getpid());
  });
  ASSERT_TRUE(result.ok());
  const auto next = [&] {
    const Notification told = listener.Receive().value_or(Notification{});
    EXPECT_EQ(std::to_string(told.pid), result.value);
    return told;
  };
  EXPECT_EQ(next().status, "starting");
  EXPECT_TRUE(next().ready);
  EXPECT_TRUE(next().watchdog);
  const Notification trigger = next();
  EXPECT_TRUE(trigger.watchdog_trigger);
  EXPECT_EQ(trigger.extend_timeout, absl::Milliseconds(1));
  EXPECT_EQ(next().main_pid, 77);
  EXPECT_TRUE(next().stopping);
  EXPECT_EQ(listener.Receive(), std::nullopt);
}

TEST_F(NotifyListenerTest, NothingIsThereUntilSomebodyTells) {
  NotifyListener listener = Listen();
  EXPECT_FALSE(IsReadable(listener));
  EXPECT_EQ(listener.Receive(), std::nullopt);
  RawSender(listener.address()).Send("READY=1\nSTATUS=up");
  EXPECT_TRUE(IsReadable(listener));
  const std::optional<Notification> told = listener.Receive();
  ASSERT_TRUE(told.has_value());
  EXPECT_TRUE(told->ready);
  EXPECT_EQ(told->status, "up");
  EXPECT_EQ(told->pid, ::getpid());
  EXPECT_FALSE(IsReadable(listener));
}

TEST_F(NotifyListenerTest, PidIsTheSendersAlsoWhereThatHasBeenReaped) {
  NotifyListener listener = Listen();
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    RawSender(listener.address()).Send("MAINPID=1");
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(listener.Receive().value_or(Notification{}).pid, pid);
}

TEST_F(NotifyListenerTest, WorthlessMessagesAreSkipped) {
  NotifyListener listener = Listen();
  RawSender sender(listener.address());
  for (const std::string& worthless :
       {std::string(), std::string("READY=1\0READY=1", 15), std::string(kMaxNotificationBytes + 1, '\n'),
        "READY=1\n" + std::string(60'000, 'x')}) {
    sender.Send(worthless);
  }
  sender.Send("STATUS=good");
  EXPECT_EQ(listener.Receive().value_or(Notification{}).status, "good");
  EXPECT_EQ(listener.Receive(), std::nullopt);
}

TEST_F(NotifyListenerTest, LongestMessageIsTakenWhole) {
  NotifyListener listener = Listen();
  const std::string status(kMaxNotificationBytes - 7, 's');
  RawSender(listener.address()).Send("STATUS=" + status);
  EXPECT_EQ(listener.Receive().value_or(Notification{}).status, status);
}

TEST_F(NotifyListenerTest, DescriptorsThatComeWithAMessageAreClosedAndTheMessageIsTaken) {
  NotifyListener listener = Listen();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  os::UniqueFd reader(ends[0]), writer(ends[1]);
  RawSender(listener.address()).Send("FDSTORE=1\nREADY=1", std::vector<int>(200, writer.get()));
  writer.reset();
  const int next = ::dup(reader.get());
  ::close(next);
  EXPECT_TRUE(listener.Receive().value_or(Notification{}).ready);
  const int still_next = ::dup(reader.get());
  ::close(still_next);
  EXPECT_EQ(still_next, next);
  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "nobody has the other end any more";
}

TEST_F(NotifyListenerTest, EachHasANameOfItsOwnAndIsClosedOnExec) {
  NotifyListener a = Listen(), b = Listen();
  EXPECT_THAT(a.address(), StartsWith("@"));
  EXPECT_NE(a.address(), b.address());
  EXPECT_EQ(a.address().size(), b.address().size());
  EXPECT_NE(::fcntl(a.fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_GT(a.fd(), 2);
}

TEST_F(NotifyListenerTest, MovedFromOneHasNothingToTell) {
  NotifyListener first = Listen();
  const std::string address = first.address();
  NotifyListener second = std::move(first);
  EXPECT_EQ(second.address(), address);
  EXPECT_EQ(first.address(), "");
  EXPECT_EQ(first.fd(), -1);
  RawSender(address).Send("READY=1");
  EXPECT_EQ(first.Receive(), std::nullopt);
  EXPECT_TRUE(second.Receive().has_value());
}

TEST_F(NotifyListenerTest, WithoutDescriptorsThereIsAnError) {
  InChild([] {
    const int next = ::dup(2);
    ::close(next);
    const rlimit limit = {static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_THAT(NotifyListener::Create(), StatusIs(absl::StatusCode::kResourceExhausted));
  });
}

}  // namespace
}  // namespace ko
