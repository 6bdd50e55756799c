#include "ko/amqp/testing/rabbitmq_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ko/process/command.h"
#include "ko/process/exec.h"
#include "ko/process/listen.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::testing {
namespace {

// Not Debian's wrapper, which changes the user.
constexpr char kServer[] = "/usr/lib/rabbitmq/bin/rabbitmq-server";
constexpr char kControl[] = "/usr/lib/rabbitmq/bin/rabbitmqctl";

[[noreturn]] void Die(std::string_view what, std::string_view log = {}) {
  std::fprintf(stderr, "RabbitMqServer: %s\n%s\n", std::string(what).c_str(), std::string(log).c_str());
  std::abort();
}

// Below the range from which the kernel takes ports for outgoing connections: nobody takes it while the broker is away.
int FreePort() {
  std::random_device random;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int port = static_cast<int>(10'000 + random() % 20'000);
    if (Listen(absl::StrCat("127.0.0.1:", port)).ok()) return port;
  }
  Die("there is no free port");
}

std::vector<pid_t> Descendants(pid_t root) {
  std::vector<pid_t> all = {root};
  for (bool more = true; more;) {
    more = false;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      pid_t pid = 0;
      if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
      const std::optional<ProcessState> state = ReadProcessState(pid);
      if (!state.has_value() || std::find(all.begin(), all.end(), pid) != all.end()) continue;
      if (std::find(all.begin(), all.end(), state->parent) == all.end()) continue;
      all.push_back(pid);
      more = true;
    }
  }
  all.erase(all.begin());
  return all;
}

}  // namespace

bool RabbitMqServer::IsInstalled() { return ::access(kServer, X_OK) == 0; }

RabbitMqServer::RabbitMqServer(std::optional<Tls> tls)
    : owner_(::getpid()),
      folder_fd_(::open(folder_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      port_(FreePort()),
      distribution_port_(FreePort()),
      ready_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  if (tls.has_value()) tls_port_ = FreePort();
  WriteConfiguration(tls);
  StartPortMapper();
  Start();
}

RabbitMqServer::~RabbitMqServer() {
  if (::getpid() != owner_) return;
  Kill();
  mapper_->Stop({.signal = SIGKILL}).IgnoreError();
}

std::string RabbitMqServer::Url(std::string_view queue, std::string_view more) const {
  return absl::StrCat("amqp://guest:guest@127.0.0.1:", port_, "/?queue=", queue, more);
}

std::string RabbitMqServer::NodeName() const { return absl::StrCat("ko", port_, "@localhost"); }

std::vector<std::string> RabbitMqServer::CommonEnvironment() const {
  return {absl::StrCat("PATH=", ::getenv("PATH")), absl::StrCat("HOME=", folder_.path()), "LANG=C.UTF-8",
          absl::StrCat("ERL_EPMD_PORT=", mapper_port_),
          absl::StrCat("RABBITMQ_CONF_ENV_FILE=", folder_.File("none"))};
}

int RabbitMqServer::CountMessages(std::string_view queue) const {
  const std::string output = folder_.File("count.log");
  absl::StatusOr<Child> control = Exec(
      {.argv = {kControl, "-n", NodeName(), "-q", "list_queues", "--no-table-headers", "name", "messages"},
       .env = CommonEnvironment(),
       .stdin_from = Stdio::Null(),
       .stdout_to = Stdio::File(output),
       .stderr_to = Stdio::AppendToFile(output),
       .die_with_parent = true});
  if (!control.ok()) Die(control.status().ToString());
  if (const absl::StatusOr<ExitStatus> ended = control->Wait(); !ended.ok() || !ended->ok()) {
    Die("rabbitmqctl", ReadFile(output));
  }
  for (std::string_view line : absl::StrSplit(ReadFile(output), '\n')) {
    int count = 0;
    if (absl::ConsumePrefix(&line, queue) && absl::ConsumePrefix(&line, "\t") &&
        absl::SimpleAtoi(line, &count)) {
      return count;
    }
  }
  return -1;
}

void RabbitMqServer::WriteConfiguration(const std::optional<Tls>& tls) {
  std::string text =
      absl::StrCat("listeners.tcp.1 = 127.0.0.1:", port_, "\ndisk_free_limit.absolute = 1MB\n");
  if (tls.has_value()) {
    absl::StrAppend(&text, "listeners.ssl.1 = 127.0.0.1:", tls_port_,
                    "\nssl_options.cacertfile = ", tls->ca_file,
                    "\nssl_options.certfile = ", tls->certificate_file,
                    "\nssl_options.keyfile = ", tls->key_file, "\nssl_options.verify = verify_none\n");
  }
  folder_.Write("rabbitmq.conf", text);
  folder_.Write("enabled_plugins", "[].\n");
  folder_.Write(".erlang.cookie", absl::StrCat("cookie", std::random_device()()), 0400);
  // A path by the descriptor is short enough for a socket's address.
  const std::string path = absl::StrCat("/proc/", owner_, "/fd/", folder_fd_.get(), "/ready");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(ready_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("bind");
}

void RabbitMqServer::StartPortMapper() {
  absl::StatusOr<os::UniqueFd> listener = Listen("127.0.0.1:0");
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (!listener.ok() || ::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    Die("no port for epmd");
  }
  mapper_port_ = ntohs(address.sin_port);
  Command command{.argv = {"epmd", "-systemd", "-port", absl::StrCat(mapper_port_)},
                  .stdin_from = Stdio::Null(),
                  .stdout_to = Stdio::File(folder_.File("epmd.log")),
                  .stderr_to = Stdio::AppendToFile(folder_.File("epmd.log")),
                  .die_with_parent = true};
  command.listen_fds.push_back({listener->get()});
  absl::StatusOr<Child> mapper = Exec(command);
  if (!mapper.ok()) Die(mapper.status().ToString());
  mapper_ = *std::move(mapper);
}

void RabbitMqServer::Start() {
  const std::string folder = folder_.path();
  const auto setting = [](std::string_view name, const auto& value) {
    return absl::StrCat(name, "=", value);
  };
  std::vector<std::string> environment = CommonEnvironment();
  environment.insert(
      environment.end(),
      {setting("NOTIFY_SOCKET", absl::StrCat("/proc/", owner_, "/fd/", folder_fd_.get(), "/ready")),
       "ERL_EPMD_ADDRESS=127.0.0.1", setting("RABBITMQ_NODENAME", NodeName()),
       setting("RABBITMQ_DIST_PORT", distribution_port_), setting("RABBITMQ_MNESIA_BASE", folder + "/data"),
       setting("RABBITMQ_LOG_BASE", folder + "/log"), "RABBITMQ_LOGS=-",
       setting("RABBITMQ_CONFIG_FILE", folder + "/rabbitmq.conf"),
       setting("RABBITMQ_ENABLED_PLUGINS_FILE", folder + "/enabled_plugins"),
       "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"});
  Command command{.argv = {kServer},
                  .env = std::move(environment),
                  .cwd = folder,
                  .stdin_from = Stdio::Null(),
                  .stdout_to = Stdio::AppendToFile(folder + "/broker.log"),
                  .stderr_to = Stdio::AppendToFile(folder + "/broker.log"),
                  .new_session = true,
                  .die_with_parent = true};
  absl::StatusOr<Child> broker = Exec(command);
  if (!broker.ok()) Die(broker.status().ToString());
  broker_ = *std::move(broker);
  AwaitReady();
}

void RabbitMqServer::AwaitReady() {
  for (;;) {
    pollfd fds[] = {{ready_.get(), POLLIN, 0}, {broker_->pidfd(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) Die("the broker has ended", ReadFile(folder_.File("broker.log")));
    char text[4096];
    const ssize_t size = ::recv(ready_.get(), text, sizeof text, 0);
    if (size > 0 && absl::StrContains(std::string_view(text, static_cast<size_t>(size)), "READY=1")) return;
  }
}

void RabbitMqServer::SignalAll(int signo) const {
  for (const pid_t pid : Descendants(broker_->pid())) ::kill(pid, signo);
  ::kill(broker_->pid(), signo);
}

void RabbitMqServer::Stop() { End(SIGTERM); }

void RabbitMqServer::Kill() { End(SIGKILL); }

void RabbitMqServer::End(int signo) {
  if (!broker_.has_value()) return;
  // Its helpers end when it has, and are then the children of whoever adopts orphans, which may be this test.
  const std::vector<pid_t> helpers = Descendants(broker_->pid());
  broker_->Kill(signo).IgnoreError();
  broker_->Wait().IgnoreError();
  broker_.reset();
  for (const pid_t helper : helpers) {
    AwaitEnded(helper);
    ::waitpid(helper, nullptr, 0);
  }
  // What it said last.
  char text[4096];
  while (::recv(ready_.get(), text, sizeof text, MSG_DONTWAIT) >= 0) {
  }
}

}  // namespace ko::testing
