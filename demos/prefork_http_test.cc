// The server end to end: the real program, real clients, real signals.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "demos/testing/run_demo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ko/ko.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/leaks.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

#define SKIP_WITHOUT(program) \
  if (::access(program, X_OK) != 0) GTEST_SKIP() << program << " is not on this machine"

constexpr char kCurl[] = "/usr/bin/curl";
constexpr char kWrk[] = "/usr/bin/wrk";

class PreforkHttpTest : public testing::LeakCheckedTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(::mkdir(root_.File("folder").c_str(), 0755), 0);
    root_.Write("a file.txt", "some text\n");
    root_.Write("folder/index.html", "<p>index\n");
    outside_.Write("secret", "secret\n");
    ASSERT_EQ(::symlink(outside_.File("secret").c_str(), root_.File("way_out").c_str()), 0);
    ASSERT_EQ(::symlink("a file.txt", root_.File("link.txt").c_str()), 0);
    testing::LeakCheckedTest::SetUp();
  }

  std::vector<std::string> Args() const {
    return {"run",         "prefork_http", "--port=0",        "--root=" + root_.path(),
            "--workers=2", "--linger=1s",  "--observe=100ms", "--client_timeout=60s"};
  }

  // "http://127.0.0.1:1234", from the master's title.
  static std::string Url(const RunningDemo& demo) {
    AwaitDescendantTitled(::getpid(), "prefork_http: master");
    const std::string title = testing::ReadFile(absl::StrCat("/proc/", demo.pid(), "/cmdline"));
    const std::vector<std::string> words = absl::StrSplit(std::string(title.c_str()), ' ');
    return "http://" + words.back();
  }

  std::string Curl(std::vector<std::string> args) const {
    args.insert(args.begin(), {kCurl, "-s", "-i", "--path-as-is"});
    const std::string path = output_.File("curl");
    absl::StatusOr<Child> curl = Exec({.argv = std::move(args), .stdout_to = Stdio::File(path)});
    EXPECT_TRUE(curl.ok() && curl->Wait()->ok()) << curl.status();
    return testing::ReadFile(path);
  }

  static std::vector<os::UniqueFd> Connect(std::string_view url, int count) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(url.substr(url.rfind(':') + 1), &port));
    address.sin_port = htons(static_cast<uint16_t>(port));
    std::vector<os::UniqueFd> sockets;
    for (int i = 0; i < count; ++i) {
      const int fd = sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)).get();
      EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    return sockets;
  }
  // The answer, to the end of the file that is asked for.
  static std::string Ask(int socket) {
    constexpr std::string_view kRequest = "GET /a%20file.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    ::send(socket, kRequest.data(), kRequest.size(), MSG_NOSIGNAL);
    std::string answer;
    char room[1024];
    while (!absl::EndsWith(answer, "\r\n\r\nsome text\n")) {
      const ssize_t size = ::recv(socket, room, sizeof room, 0);
      if (size <= 0) break;
      answer.append(room, static_cast<size_t>(size));
    }
    return answer;
  }

  static std::string Title(int slot) { return absl::StrCat("prefork_http: worker ", slot); }

  // Waits until a slot's only process is another one, and tells which.
  static pid_t AwaitOther(const RunningDemo& demo, int slot, pid_t old) {
    for (;;) {
      const std::vector<pid_t> pids = DescendantsTitled(demo.pid(), Title(slot));
      if (pids.size() == 1 && pids.front() != old) return pids.front();
      if (testing::ReadProcessState(demo.pid())->letter == 'Z') return 0;
    }
  }
  static void AwaitNone(const RunningDemo& demo, int slot) {
    while (!DescendantsTitled(demo.pid(), Title(slot)).empty()) {
    }
  }
  // All slots have another process.
  static void RollOut(const RunningDemo& demo, int slots) {
    std::vector<pid_t> old;
    for (int slot = 0; slot < slots; ++slot) old.push_back(AwaitOther(demo, slot, 0));
    ::kill(demo.pid(), SIGHUP);
    for (int slot = 0; slot < slots; ++slot) EXPECT_NE(AwaitOther(demo, slot, old[slot]), 0);
  }

  static std::string End(RunningDemo& demo) {
    ::kill(demo.pid(), SIGTERM);
    const RunningDemo::Result result = demo.Finish();
    EXPECT_TRUE(result.status.ok()) << result.status << result.err;
    return result.out;
  }

  testing::TempDir root_;
  testing::TempDir outside_;
  testing::TempDir output_;
};

TEST_F(PreforkHttpTest, CurlGetsFilesAndErrors) {
  SKIP_WITHOUT(kCurl);
  RunningDemo demo(Args());
  const std::string url = Url(demo);
  const std::string text = Curl({url + "/a%20file.txt"});
  EXPECT_THAT(text, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(text, HasSubstr("Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n"));
  EXPECT_TRUE(absl::EndsWith(text, "\r\n\r\nsome text\n")) << text;
  EXPECT_TRUE(absl::EndsWith(Curl({"-I", url + "/a%20file.txt"}),
                             "Content-Length: 10\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_THAT(Curl({url + "/folder"}), HasSubstr("<p>index\n"));
  EXPECT_THAT(Curl({url + "/link.txt"}), HasSubstr("some text"));
  for (const char* path : {"/none", "/", "/way_out", "//etc/passwd", "/a%20file.txt/"}) {
    EXPECT_THAT(Curl({url + path}), HasSubstr("HTTP/1.1 404 Not Found\r\n")) << path;
  }
  EXPECT_THAT(Curl({url + "/../secret"}), HasSubstr(" 400 "));
  EXPECT_THAT(Curl({"-X", "DELETE", url + "/"}), HasSubstr(" 405 "));
  EXPECT_THAT(Curl({url + "/" + std::string(9000, 'a')}), HasSubstr(" 414 "));
  EXPECT_THAT(Curl({"-H", "X: " + std::string(20000, 'a'), url + "/"}), HasSubstr(" 431 "));
  End(demo);
}

TEST_F(PreforkHttpTest, AFileLargerThanTheSocketsBufferComesWhole) {
  SKIP_WITHOUT(kCurl);
  std::string text;
  for (int i = 0; text.size() < (8 << 20); ++i) absl::StrAppend(&text, i, "\n");
  root_.Write("large", text);
  RunningDemo demo(Args());
  EXPECT_TRUE(absl::EndsWith(Curl({Url(demo) + "/large"}), "\r\n\r\n" + text));
  End(demo);
}

TEST_F(PreforkHttpTest, RollOutsAndResizesUnderLoadFailNoRequest) {
  SKIP_WITHOUT(kWrk);
  RunningDemo demo(Args());
  const std::string url = Url(demo) + "/a%20file.txt";
  const std::string report = output_.File("wrk");
  absl::StatusOr<Child> wrk = Exec({.argv = {kWrk, "-t1", "-c32", "-d90s", "--timeout", "90s", url},
                                    .stdout_to = Stdio::File(report),
                                    .die_with_parent = true});
  ASSERT_TRUE(wrk.ok()) << wrk.status();
  RollOut(demo, 2);
  ::kill(demo.pid(), SIGTTIN);
  EXPECT_NE(AwaitOther(demo, 2, 0), 0);
  RollOut(demo, 3);
  ::kill(demo.pid(), SIGTTOU);
  AwaitNone(demo, 2);
  RollOut(demo, 2);
  ASSERT_TRUE(wrk->Kill(SIGINT).ok());  // it ends with its report
  ASSERT_TRUE(wrk->Wait().ok());
  const std::string figures = testing::ReadFile(report);
  std::fputs(figures.c_str(), stdout);
  EXPECT_THAT(figures, HasSubstr("Requests/sec:"));
  EXPECT_THAT(figures, Not(HasSubstr(" 0 requests in")));
  EXPECT_THAT(figures, Not(HasSubstr("Socket errors")));
  EXPECT_THAT(figures, Not(HasSubstr("Non-2xx")));
  End(demo);
}

TEST_F(PreforkHttpTest, SigtermUnderLoadAnswersWhatItsConnectionsAsk) {
  RunningDemo demo(Args());
  std::vector<os::UniqueFd> clients = Connect(Url(demo), 8);
  int answers = 0;
  for (int round = 0; !clients.empty(); ++round) {
    if (round == 20) ::kill(demo.pid(), SIGTERM);
    std::erase_if(clients, [&](const os::UniqueFd& client) {
      const std::string answer = Ask(client.get());
      EXPECT_THAT(answer, HasSubstr(" 200 OK\r\n")) << "after " << answers << " answers";
      ++answers;
      return !absl::StrContains(answer, "\r\nConnection: keep-alive\r\n");
    });
  }
  EXPECT_GE(answers, 8 * 21);
  const RunningDemo::Result result = demo.Finish();
  EXPECT_TRUE(result.status.ok()) << result.status << result.err;
}

TEST_F(PreforkHttpTest, AnotherWorkerTakesTheSlotOfAKilledOne) {
  SKIP_WITHOUT(kCurl);
  RunningDemo demo(Args());
  const std::string url = Url(demo);
  const pid_t first = AwaitOther(demo, 0, 0);
  AwaitOther(demo, 1, 0);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  EXPECT_THAT(Curl({url + "/link.txt"}), HasSubstr(" 200 OK"));
  EXPECT_NE(AwaitOther(demo, 0, first), 0);
  EXPECT_THAT(Curl({url + "/link.txt"}), HasSubstr(" 200 OK"));
  EXPECT_THAT(End(demo), HasSubstr("SIGKILL"));
}

TEST_F(PreforkHttpTest, TitlesTellMasterAndWorkers) {
  RunningDemo demo(Args());
  EXPECT_THAT(Url(demo), HasSubstr("http://127.0.0.1:"));
  AwaitOther(demo, 0, 0);
  AwaitOther(demo, 1, 0);
  EXPECT_EQ(Descendants(demo.pid()).size(), 2u);
  EXPECT_THAT(End(demo), HasSubstr("serving " + root_.path() + " at http://127.0.0.1:"));
}

TEST_F(PreforkHttpTest, BadFlagsAreRefused) {
  for (const char* flag :
       {"--workers=0", "--port=65536", "--root=/nonexistent", "--address=nowhere", "--linger=inf"}) {
    const auto result = RunDemo({"run", "prefork_http", "--port=0", flag});
    EXPECT_FALSE(result.status.ok()) << flag;
    EXPECT_THAT(result.err, HasSubstr("prefork_http: ")) << flag;
  }
}

}  // namespace
}  // namespace ko::demos
