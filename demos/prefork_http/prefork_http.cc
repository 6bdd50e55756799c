#include "demos/prefork_http/prefork_http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "demos/host/host.h"
#include "demos/prefork_http/http_worker.h"
#include "ko/ko.h"
#include "ko/os/errno_status.h"
#include "ko/process/listen.h"

namespace ko::demos {
namespace {

// Of an IPv4 or IPv6 socket.
int PortOf(int socket) {
  sockaddr_in6 address = {};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin6_port);  // at the same place in both
}

absl::StatusOr<os::UniqueFd> ListenWithoutWaiting(const std::string& address) {
  absl::StatusOr<os::UniqueFd> listener = ko::Listen(address);
  if (!listener.ok()) return listener;
  // A client may have been another worker's by the time of accept(2).
  const int flags = ::fcntl(listener->get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener->get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return os::ErrnoStatus(errno, "fcntl(O_NONBLOCK)", address);
  }
  return listener;
}

int Complain(const absl::Status& status) {
  absl::FPrintF(stderr, "prefork_http: %s\n", status.message());
  return kExitUsage;
}

}  // namespace

void PreforkHttp::AddFlags(FlagSet& flags) {
  flags.Add("address", &address_, "the numeric address to listen on; IPv6 in brackets");
  flags.Add("port", &port_, "the port to listen on; 0 takes a free one, which is printed");
  flags.Add("root", &root_, "the folder whose files are served; nothing outside of it is");
  flags.Add("workers", &workers_, "how many workers; SIGTTIN adds one, SIGTTOU takes one away");
  flags.Add("connections", &connections_, "how many connections a worker has at most at once");
  flags.Add("observe", &observe_, "how long a new worker has to live before the old one stops, after SIGHUP");
  flags.Add("client_timeout", &limits_.client,
            "how long a client may take to send a request's head, and to read on");
  flags.Add("idle_timeout", &limits_.idle, "how long a connection may wait for the next request");
  flags.Add("linger", &limits_.linger,
            "how long a worker that stops waits for the next request of an idle connection");
}

int PreforkHttp::Run() {
  if (workers_ < 1 || connections_ < 1 || port_ < 0 || port_ > 65535) {
    return Complain(
        absl::InvalidArgumentError("--workers and --connections start at 1, --port goes from 0 to 65535"));
  }
  if (limits_.client <= absl::ZeroDuration() || limits_.idle <= absl::ZeroDuration() ||
      limits_.linger < absl::ZeroDuration() || limits_.linger > absl::Hours(1)) {
    return Complain(absl::InvalidArgumentError("timeouts are positive, and --linger is an hour at most"));
  }
  const os::UniqueFd root(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return Complain(os::ErrnoStatus(errno, "open", absl::StrCat("--root=", root_)));
  absl::StatusOr<os::UniqueFd> listener = ListenWithoutWaiting(absl::StrCat(address_, ":", port_));
  if (!listener.ok()) return Complain(listener.status());
  const std::string address = absl::StrCat(address_, ":", PortOf(listener->get()));

  ko::ProcessManager manager;
  manager.OnEvent([](const ko::ProcessEvent& event) {
    absl::PrintF("%s\n", event.ToString());
    std::fflush(stdout);
  });
  ko::WorkerPool pool =
      manager.SpawnPool(workers_,
                        [&](ko::Self& self) {
                          const absl::Status served =
                              HttpWorker::Serve(self, listener->get(), root.get(), limits_, connections_);
                          if (!served.ok())
                            absl::FPrintF(stderr, "worker %d: %s\n", self.slot(), served.message());
                          return served.ok() ? 0 : 1;
                        },
                        {.when = ko::RestartPolicy::When::kAlways},
                        {.name = "worker",
                         .ready = ko::ReadyWhen::kNotified,
                         .stop = ko::StopPlan{.steps = {{SIGTERM, 2 * limits_.linger + absl::Seconds(30)}}}});
  if (absl::Status obeys = pool.ObeySignals({.observe = observe_}); !obeys.ok()) return Complain(obeys);
  const absl::Status ready = pool.WaitReady();
  if (ready.ok()) {
    // Who sees the title may send the signals.
    manager.SetProcessTitle(absl::StrCat("prefork_http: master ", address)).IgnoreError();
    absl::PrintF("serving %s at http://%s/\n", root_, address);
    std::fflush(stdout);
  } else if (!manager.IsShuttingDown()) {
    return Complain(ready);
  }
  if (absl::Status ended = manager.Wait(); !ended.ok()) return Complain(ended);
  return 0;
}

}  // namespace ko::demos
