#ifndef KO_AMQP_TESTING_RABBITMQ_SERVER_H_
#define KO_AMQP_TESTING_RABBITMQ_SERVER_H_

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ko/os/unique_fd.h"
#include "ko/process/child.h"
#include "ko/testing/temp_dir.h"

namespace ko::testing {

// A RabbitMQ broker of a test's own: a node name, ports on loopback, a folder and a cookie of its own, so that it
// neither sees nor disturbs another of the machine.
//
//   if (!RabbitMqServer::IsInstalled()) GTEST_SKIP() << RabbitMqServer::kNotInstalled;
//   RabbitMqServer server;
//   queue = ko::AmqpJobQueue::Create(server.Url("hello"));
//
// Threads: one at a time.
//
// Fork: only the process that made it stops it.
//
// Signals: none.
//
// Crash: the broker dies with the test.
//
// Errors: a broker that does not start ends the test program with its log.
class RabbitMqServer {
 public:
  static constexpr char kNotInstalled[] = "there is no rabbitmq-server on this machine";
  static bool IsInstalled();

  // PEM files for a second listener, with TLS.
  struct Tls {
    std::string ca_file;
    std::string certificate_file;
    std::string key_file;
  };

  // Starts it, and returns when it takes connections.
  explicit RabbitMqServer(std::optional<Tls> tls = std::nullopt);
  RabbitMqServer(const RabbitMqServer&) = delete;
  RabbitMqServer& operator=(const RabbitMqServer&) = delete;
  ~RabbitMqServer();

  // On the same ports, with what it has on disk.
  void Start();
  void Stop();  // as an administrator does: by SIGTERM
  void Kill();  // SIGKILL
  // Its connections stay, and nobody reads what they bring, until it thaws.
  void Freeze() const { SignalAll(SIGSTOP); }
  void Thaw() const { SignalAll(SIGCONT); }

  // The messages of a queue, those that somebody has not acknowledged yet among them; -1 where there is no such queue.
  // Takes seconds: it is the broker's own tool that tells.
  int CountMessages(std::string_view queue) const;

  int port() const { return port_; }
  int tls_port() const { return tls_port_; }
  // Of the user guest; `more` is appended to the parameters: "&prefetch=5".
  std::string Url(std::string_view queue, std::string_view more = {}) const;

 private:
  std::string NodeName() const;
  // Of the server and of its tools.
  std::vector<std::string> CommonEnvironment() const;
  void WriteConfiguration(const std::optional<Tls>& tls);
  void StartPortMapper();
  void AwaitReady();
  void End(int signo);
  void SignalAll(int signo) const;

  const pid_t owner_;
  TempDir folder_;
  os::UniqueFd folder_fd_;
  int port_;
  int tls_port_ = 0;
  int distribution_port_;
  int mapper_port_ = 0;
  std::optional<Child> mapper_;  // epmd, which knows the node's port
  std::optional<Child> broker_;
  os::UniqueFd ready_;  // where the broker tells that it is ready
};

}  // namespace ko::testing

#endif  // KO_AMQP_TESTING_RABBITMQ_SERVER_H_
