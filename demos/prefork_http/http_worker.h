#ifndef KO_DEMOS_PREFORK_HTTP_HTTP_WORKER_H_
#define KO_DEMOS_PREFORK_HTTP_HTTP_WORKER_H_

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "demos/prefork_http/connection.h"
#include "ko/ko.h"
#include "ko/os/epoll.h"

namespace ko::demos {

// A worker's loop: many connections at once, none of which it waits for. All workers sleep on the same non-blocking listening
// socket, and all wake for a client: were only one of them woken (EPOLLEXCLUSIVE), a client would wait for the next one's
// coming where that worker is killed before it accepts.
//
// Threads: one. Fork: no. Signals: SIGTERM through Self. Crash: costs the requests in its hands; clients that wait to be
// accepted are the others'. Errors: no descriptors for the loop itself.
class HttpWorker {
 public:
  // Stops accepting when `self` should shut down, and returns when the last connection has ended.
  static absl::Status Serve(ko::Self& self, int listener, int root, const ConnectionLimits& limits,
                            int max_connections);

 private:
  HttpWorker(os::Epoll epoll, int listener, int root, const ConnectionLimits& limits, int max_connections)
      : epoll_(std::move(epoll)),
        listener_(listener),
        root_(root),
        limits_(limits),
        max_connections_(max_connections) {}

  absl::Status Run(ko::Self& self);
  absl::Status Accept(absl::Duration now);
  absl::Status Listen(bool wanted);
  void Drain(absl::Duration now);
  // Does what the connection wants next.
  void Settle(Connection& connection, absl::Duration deadline_before, Connection::Want want);
  bool Watch(Connection& connection, Connection::Want want);
  void ExpireDue(absl::Duration now);

  os::Epoll epoll_;
  const int listener_;
  const int root_;
  const ConnectionLimits limits_;
  const size_t max_connections_;
  bool listening_ = false;
  bool draining_ = false;
  std::map<int, std::unique_ptr<Connection>> connections_;  // by descriptor
  std::set<std::pair<absl::Duration, int>> deadlines_;      // of each of them
};

}  // namespace ko::demos

#endif  // KO_DEMOS_PREFORK_HTTP_HTTP_WORKER_H_
