#include "demos/prefork_http/http_worker.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"

namespace ko::demos {
namespace {

// Then the clients there are have their turn.
constexpr int kAcceptsAtOnce = 64;

}  // namespace

absl::Status HttpWorker::Serve(ko::Self& self, int listener, int root, const ConnectionLimits& limits,
                               int max_connections) {
  std::signal(SIGPIPE, SIG_IGN);  // sendfile(2) has no MSG_NOSIGNAL
  absl::StatusOr<os::Epoll> epoll = os::Epoll::Create();
  if (!epoll.ok()) return epoll.status();
  return HttpWorker(*std::move(epoll), listener, root, limits, max_connections).Run(self);
}

absl::Status HttpWorker::Run(ko::Self& self) {
  const std::string title = absl::StrCat("prefork_http: worker ", self.slot());
  self.SetProcessTitle(title).IgnoreError();
  const int signals = self.signals().poll_fd();
  if (absl::Status added = epoll_.Add(signals, static_cast<uint64_t>(signals)); !added.ok()) return added;
  if (absl::Status added = Listen(true); !added.ok()) return added;
  self.NotifyReady();
  while (!draining_ || !connections_.empty()) {
    if (!draining_ && self.ShouldShutdown()) {
      self.SetProcessTitle(absl::StrCat(title, " (draining)")).IgnoreError();
      Drain(os::MonotonicNow());
      continue;
    }
    if (draining_) self.Dispatch().IgnoreError();
    const absl::Duration next = deadlines_.empty() ? absl::InfiniteDuration() : deadlines_.begin()->first;
    std::array<uint64_t, 64> room;
    absl::StatusOr<absl::Span<const uint64_t>> ready =
        epoll_.Wait(absl::MakeSpan(room), os::Deadline::At(next));
    if (!ready.ok()) return ready.status();
    const absl::Duration now = os::MonotonicNow();
    bool client_waits = false;
    for (const uint64_t token : *ready) {
      const int fd = static_cast<int>(token);
      // New clients come last, or one could get the number of one that ends in this round.
      const auto found = connections_.find(fd);
      if (found == connections_.end()) {
        client_waits = client_waits || fd == listener_;
        continue;
      }
      Connection& connection = *found->second;
      const absl::Duration before = connection.deadline();
      Settle(connection, before, connection.Advance(now));
    }
    ExpireDue(now);
    if (client_waits && listening_) {
      if (absl::Status accepted = Accept(now); !accepted.ok()) return accepted;
    }
    if (!draining_ && !listening_ && connections_.size() < max_connections_) {
      if (absl::Status listens = Listen(true); !listens.ok()) return listens;
    }
  }
  return absl::OkStatus();
}

absl::Status HttpWorker::Accept(absl::Duration now) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    if (connections_.size() >= max_connections_) return Listen(false);
    os::UniqueFd socket(::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) return absl::OkStatus();
      const bool full = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
      // It stays readable: the others' turn, or this one's when a client has gone.
      if (full && !connections_.empty()) return Listen(false);
      if (full || error == EBADF || error == EINVAL || error == ENOTSOCK)
        return os::ErrnoStatus(error, "accept4");
      continue;  // a client that has gone already
    }
    const int one = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const int fd = socket.get();
    auto connection = std::make_unique<Connection>(std::move(socket), root_, limits_, now);
    if (draining_) connection->Drain(now);
    if (!epoll_.Add(fd, static_cast<uint64_t>(fd)).ok()) continue;
    deadlines_.insert({connection->deadline(), fd});
    connections_.emplace(fd, std::move(connection));
  }
  return absl::OkStatus();
}

absl::Status HttpWorker::Listen(bool wanted) {
  if (wanted == listening_) return absl::OkStatus();
  if (wanted) {
    if (absl::Status added = epoll_.Add(listener_, static_cast<uint64_t>(listener_)); !added.ok())
      return added;
  } else {
    epoll_.Remove(listener_);
  }
  listening_ = wanted;
  return absl::OkStatus();
}

void HttpWorker::Drain(absl::Duration now) {
  draining_ = true;
  Listen(false).IgnoreError();
  // Where all workers stop there is nobody else for those that have been waiting.
  Accept(now).IgnoreError();
  for (const auto& [fd, connection] : connections_) {
    const absl::Duration before = connection->deadline();
    connection->Drain(now);
    deadlines_.erase({before, fd});
    deadlines_.insert({connection->deadline(), fd});
  }
}

void HttpWorker::Settle(Connection& connection, absl::Duration deadline_before, Connection::Want want) {
  const int fd = connection.fd();
  deadlines_.erase({deadline_before, fd});
  if (want == Connection::Want::kClose || !Watch(connection, want)) {
    epoll_.Remove(fd);
    connections_.erase(fd);
    return;
  }
  deadlines_.insert({connection.deadline(), fd});
}

bool HttpWorker::Watch(Connection& connection, Connection::Want want) {
  if (want == connection.watched()) return true;  // most often: a request, an answer, and the next request
  connection.set_watched(want);
  const int fd = connection.fd();
  return epoll_.Modify(fd, static_cast<uint64_t>(fd), want == Connection::Want::kRead ? EPOLLIN : EPOLLOUT)
      .ok();
}

void HttpWorker::ExpireDue(absl::Duration now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto [before, fd] = *deadlines_.begin();
    Connection& connection = *connections_.at(fd);
    Settle(connection, before, connection.Expire(now));
  }
}

}  // namespace ko::demos
