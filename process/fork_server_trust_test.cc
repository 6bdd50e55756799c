#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ko/os/fd_message.h"
#include "ko/os/pidfd.h"
#include "ko/os/sibling.h"
#include "ko/os/unique_fd.h"
#include "ko/process/fork_server.h"
#include "ko/process/fork_server_protocol.h"
#include "ko/testing/leaks.h"
#include "ko/testing/status_matchers.h"

// What a ForkServer does about a server that says what is not so: its init code answers in its place.

namespace ko {
namespace {

using testing::IsOk;
using testing::IsOkAndHolds;
using ::testing::Not;
using testing::StatusIs;

int ReturnCode(int code) { return code; }

// In the server: the socket that it shares with the caller.
int FindSocket() {
  for (int fd = 0; fd < 1000; ++fd) {
    int type = 0;
    socklen_t bytes = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET) return fd;
  }
  ::_exit(1);
}

void Say(int socket, const ServerReply& reply, absl::Span<const int> fds = {}) {
  os::SendMessage(socket, {MessageBytes(reply)}, fds, /*block=*/true);
}

class ForkServerTrustTest : public testing::LeakCheckedTest {
 protected:
  using Answer = absl::AnyInvocable<void(int socket, const BirthRequest& request)>;

  // Whose server answers each request for a child with `answer`.
  static ForkServer StartLying(Answer answer) {
    ForkServerOptions options;
    options.init = [answer = std::move(answer)]() mutable -> absl::Status {
      const int socket = FindSocket();
      Say(socket, {.kind = ServerReply::kReady});
      for (;;) {
        BirthRequest request;
        if (os::ReceiveMessage(socket, &request, sizeof request, /*block=*/true).bytes != sizeof request)
          ::_exit(0);
        answer(socket, request);
      }
    };
    absl::StatusOr<ForkServer> server = ForkServer::Start(std::move(options));
    EXPECT_THAT(server, IsOk());
    if (!server.ok()) std::abort();
    return *std::move(server);
  }
};

TEST_F(ForkServerTrustTest, ARefusalWithoutAReasonIsAnErrorAndNoEndlessLoop) {
  const ForkServer server = StartLying([](int socket, const BirthRequest& request) {
    Say(socket, {.kind = ServerReply::kNotBorn, .birth = request.birth, .code = 0});
  });
  EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ForkServerTrustTest, ARefusalWithACodeThatIsNoneIsAnError) {
  const ForkServer server = StartLying([](int socket, const BirthRequest& request) {
    Say(socket, {.kind = ServerReply::kNotBorn, .birth = request.birth, .code = 12345});
  });
  EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ForkServerTrustTest, ThePidOfAStrangerIsNotKilled) {
  // Named as a child that could not be handed over: the caller itself, whole groups, everybody.
  for (const pid_t pid : {::getpid(), ::getppid(), pid_t{0}, pid_t{-1}}) {
    const ForkServer server = StartLying([pid](int socket, const BirthRequest& request) {
      Say(socket, {.kind = ServerReply::kBorn, .birth = request.birth, .pid = pid});
    });
    EXPECT_THAT(server.Fork<&ReturnCode>(1), Not(IsOk()));
  }
}

TEST_F(ForkServerTrustTest, ADescriptorOfAStrangerIsNoChild) {
  const pid_t caller = ::getpid();
  const ForkServer server = StartLying([caller](int socket, const BirthRequest& request) {
    const os::UniqueFd stranger = os::OpenPidfd(caller);
    const int fds[] = {stranger.get(), socket};
    Say(socket, {.kind = ServerReply::kBorn, .birth = request.birth, .pid = caller}, fds);
  });
  EXPECT_THAT(server.Fork<&ReturnCode>(1), Not(IsOk()));
}

TEST_F(ForkServerTrustTest, ADescriptorOfAStrangerIsNoTaskAndNoReasonToRunItAgain) {
  const pid_t caller = ::getpid();
  const ForkServer server = StartLying([caller](int socket, const BirthRequest& request) {
    if (request.kind != BirthRequest::kTask) {
      return Say(socket, {.kind = ServerReply::kNotBorn, .birth = request.birth, .code = 8});
    }
    const os::UniqueFd stranger = os::OpenPidfd(caller);
    const int fds[] = {stranger.get()};
    Say(socket, {.kind = ServerReply::kBorn, .birth = request.birth, .pid = caller}, fds);
  });
  EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kInternal));
}

// As where the caller had no descriptor left to receive it.
TEST_F(ForkServerTrustTest, ATaskThatIsToldOfWithoutItsDescriptorIsTheCallsResult) {
  const ForkServer server = StartLying([](int socket, const BirthRequest& request) {
    if (request.kind != BirthRequest::kTask) {
      return Say(socket, {.kind = ServerReply::kNotBorn, .birth = request.birth, .code = 8});
    }
    const absl::StatusOr<os::SiblingForker> forker = os::SiblingForker::Create();
    std::atomic<pid_t> told = 0;
    const auto forked = forker->Fork(told);
    const auto* const child = std::get_if<os::ForkedProcess>(&forked);
    if (child == nullptr) ::_exit(1);
    if (child->pid == 0) ::_exit(5);
    Say(socket, {.kind = ServerReply::kBorn, .birth = request.birth, .pid = child->pid});
  });
  absl::StatusOr<Child> child = server.Fork<&ReturnCode>(1);
  ASSERT_THAT(child, IsOk());
  EXPECT_THAT(child->Wait(), IsOkAndHolds(ExitStatus::Exited(5)));
}

TEST_F(ForkServerTrustTest, ABirthThatNobodyAskedForEndsTheServer) {
  const ForkServer server = StartLying([](int socket, const BirthRequest&) {
    Say(socket, {.kind = ServerReply::kBorn, .birth = kMaxBirths, .pid = 1});
  });
  EXPECT_THAT(server.Fork<&ReturnCode>(1), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace ko
