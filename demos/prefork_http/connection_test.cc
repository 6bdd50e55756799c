// One connection against a socket pair, with a clock of the test's own.

#include "demos/prefork_http/connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Want = Connection::Want;

constexpr std::string_view kRequest = "GET /file HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kClose = "\r\nConnection: close\r\n\r\n";
constexpr std::string_view kKeepAlive = "\r\nConnection: keep-alive\r\n\r\n";
constexpr ConnectionLimits kLimits = {
    .client = absl::Seconds(10), .idle = absl::Seconds(30), .linger = absl::Seconds(1)};

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() {
    folder_.Write("file", "text\n");
    root_.reset(::open(folder_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    int sockets[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets), 0);
    client_.reset(sockets[0]);
    connection_.emplace(os::UniqueFd(sockets[1]), root_.get(), kLimits, absl::ZeroDuration());
  }

  // The client says something, and the server goes on.
  Want Say(std::string_view text, absl::Duration at) {
    EXPECT_EQ(::send(client_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    return connection_->Advance(at);
  }
  // What the client has got since the last time.
  std::string Heard() {
    std::string heard;
    std::array<char, 4096> room;
    for (;;) {
      const ssize_t size = ::recv(client_.get(), room.data(), room.size(), 0);
      ended_ = size == 0;
      if (size <= 0) return heard;
      heard.append(room.data(), static_cast<size_t>(size));
    }
  }
  // After Heard: the server says nothing more.
  bool ended() const { return ended_; }

  testing::TempDir folder_;
  os::UniqueFd root_;
  os::UniqueFd client_;
  std::optional<Connection> connection_;
  bool ended_ = false;
};

TEST_F(ConnectionTest, IsKeptForTheNextRequest) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Say(kRequest, absl::Seconds(i)), Want::kRead);
    const std::string answer = Heard();
    EXPECT_THAT(answer, HasSubstr(kKeepAlive));
    EXPECT_THAT(answer, EndsWith("\r\n\r\ntext\n"));
    EXPECT_EQ(connection_->deadline(), absl::Seconds(i) + kLimits.idle);
  }
}

TEST_F(ConnectionTest, HalfARequestIsAnsweredWith408AtItsDeadline) {
  EXPECT_EQ(Say(kRequest.substr(0, 10), absl::Seconds(3)), Want::kRead);
  EXPECT_EQ(connection_->deadline(), absl::Seconds(13));
  // More of it does not put that off: or a byte now and then would keep a place for ever.
  EXPECT_EQ(Say(kRequest.substr(10, 5), absl::Seconds(12)), Want::kRead);
  EXPECT_EQ(connection_->deadline(), absl::Seconds(13));
  EXPECT_EQ(connection_->Expire(absl::Seconds(13)), Want::kRead);  // to the client's end
  const std::string answer = Heard();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_THAT(answer, HasSubstr(kClose));
  EXPECT_TRUE(ended());
  EXPECT_EQ(connection_->Expire(connection_->deadline()), Want::kClose);
}

TEST_F(ConnectionTest, IdleOneIsClosedAtItsDeadlineWithoutAWord) {
  EXPECT_EQ(Say(kRequest, absl::Seconds(1)), Want::kRead);
  Heard();
  EXPECT_EQ(connection_->Expire(absl::Seconds(31)), Want::kRead);
  EXPECT_EQ(Heard(), "");
  EXPECT_TRUE(ended());
  client_.reset();
  EXPECT_EQ(connection_->Advance(absl::Seconds(31)), Want::kClose);
}

TEST_F(ConnectionTest, RequestThatComesAtTheDeadlineIsAnswered) {
  const std::string_view request = kRequest;
  EXPECT_EQ(::send(client_.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  EXPECT_EQ(connection_->Expire(absl::Seconds(10)), Want::kRead);
  EXPECT_THAT(Heard(), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(ended());
}

TEST_F(ConnectionTest, WhileDrainingTheNextAnswerIsTheLast) {
  EXPECT_EQ(Say(kRequest, absl::Seconds(1)), Want::kRead);
  Heard();
  connection_->Drain(absl::Seconds(2));
  EXPECT_EQ(connection_->deadline(), absl::Seconds(3));
  EXPECT_EQ(Say(kRequest, absl::Seconds(2.5)), Want::kRead);
  const std::string answer = Heard();
  EXPECT_THAT(answer, HasSubstr(kClose));
  EXPECT_THAT(answer, EndsWith("text\n"));
  EXPECT_TRUE(ended());
  client_.reset();
  EXPECT_EQ(connection_->Advance(absl::Seconds(2.5)), Want::kClose);
}

TEST_F(ConnectionTest, WhileDrainingARequestThatHasBegunKeepsItsTime) {
  EXPECT_EQ(Say(kRequest.substr(0, 10), absl::ZeroDuration()), Want::kRead);
  connection_->Drain(absl::Seconds(2));
  EXPECT_EQ(connection_->deadline(), absl::Seconds(10));
  EXPECT_EQ(Say(kRequest.substr(10), absl::Seconds(9)), Want::kRead);
  EXPECT_THAT(Heard(), HasSubstr(kClose));
}

TEST_F(ConnectionTest, WhileDrainingAnIdleOneIsClosedAfterTheLinger) {
  connection_->Drain(absl::Seconds(2));
  EXPECT_EQ(connection_->Expire(absl::Seconds(3)), Want::kRead);
  EXPECT_EQ(Heard(), "");
  EXPECT_TRUE(ended());
}

TEST_F(ConnectionTest, RequestsThatComeTogetherAreAnsweredInTheirOrder) {
  EXPECT_EQ(Say(std::string(kRequest) + "GET /none HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kRequest),
                absl::ZeroDuration()),
            Want::kRead);
  const std::string answers = Heard();
  const size_t missing = answers.find(" 404 ");
  ASSERT_NE(missing, std::string::npos);
  EXPECT_LT(answers.find(" 200 "), missing);
  EXPECT_NE(answers.find(" 200 ", missing), std::string::npos);
}

TEST_F(ConnectionTest, ClientThatHasGoneIsClosed) {
  client_.reset();
  EXPECT_EQ(connection_->Advance(absl::ZeroDuration()), Want::kClose);
}

}  // namespace
}  // namespace ko::demos
