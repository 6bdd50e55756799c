#include "demos/prefork_http/connection.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ko/os/open_beneath.h"

namespace ko::demos {
namespace {

// Then it is the turn of the others.
constexpr int kStepsAtOnce = 64;

struct ServedFile {
  os::UniqueFd fd;
  std::string path;
  int64_t bytes = 0;
};

// The file, or a folder's index.html. NotFound where it is neither.
absl::StatusOr<ServedFile> OpenServed(int root, std::string path) {
  if (path.empty()) path = ".";
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<os::UniqueFd> fd = os::OpenBeneath(root, path);
    if (!fd.ok()) return fd.status();
    struct stat about = {};
    if (::fstat(fd->get(), &about) != 0) break;
    if (S_ISREG(about.st_mode)) return ServedFile{*std::move(fd), std::move(path), about.st_size};
    if (!S_ISDIR(about.st_mode)) break;
    absl::StrAppend(&path, "/index.html");
  }
  return absl::NotFoundError("no file");
}

int StatusFor(const absl::Status& status) {
  // Of the machine, and not of the file.
  const bool busy = absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
  return busy ? 503 : 404;
}

}  // namespace

Connection::Connection(os::UniqueFd socket, int root, const ConnectionLimits& limits, absl::Duration now)
    : socket_(std::move(socket)), root_(root), limits_(limits), deadline_(now + limits.client) {}

Connection::Want Connection::Advance(absl::Duration now) {
  Want want = Want::kClose;
  for (int i = 0; i < kStepsAtOnce; ++i) {
    bool goes_on = false;
    switch (state_) {
      case State::kReading:
        goes_on = Read(now, want);
        break;
      case State::kWriting:
        goes_on = Write(now, want);
        break;
      case State::kLingering:
        goes_on = Discard(want);
        break;
    }
    if (!goes_on) return want;
  }
  // What has been read already would not make the socket readable; it is writable mostly.
  return state_ == State::kLingering ? Want::kRead : Want::kWrite;
}

Connection::Want Connection::Expire(absl::Duration now) {
  if (state_ != State::kReading) return Want::kClose;
  // A request may have come in the same moment.
  const Want want = Advance(now);
  if (want == Want::kClose || state_ != State::kReading || now < deadline_) return want;
  if (in_.empty()) {
    BeginLingering(now);
  } else {
    AnswerError(408, false, false);
    deadline_ = now + limits_.client;
  }
  return Advance(now);
}

void Connection::Drain(absl::Duration now) {
  draining_ = true;
  if (state_ == State::kReading && in_.empty()) deadline_ = std::min(deadline_, now + limits_.linger);
}

bool Connection::Read(absl::Duration now, Want& want) {
  const ParsedHead parsed = ParseRequestHead(in_);
  if (parsed.status == ParsedHead::kComplete) {
    in_.erase(0, parsed.size_bytes);
    Answer(parsed.request);
  } else if (parsed.status != ParsedHead::kIncomplete) {
    AnswerError(parsed.status, false, false);
  }
  if (parsed.status != ParsedHead::kIncomplete) {
    deadline_ = now + limits_.client;
    return true;
  }
  std::array<char, 16 << 10> room;
  const ssize_t size = ::recv(socket_.get(), room.data(), room.size(), 0);
  if (size > 0) {
    if (in_.empty()) deadline_ = now + limits_.client;
    in_.append(room.data(), static_cast<size_t>(size));
    return true;
  }
  if (size < 0 && errno == EINTR) return true;
  want = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? Want::kRead : Want::kClose;
  return false;
}

bool Connection::Write(absl::Duration now, Want& want) {
  ssize_t size = 0;
  if (sent_ < out_.size()) {
    const int more = left_ > 0 ? MSG_MORE : 0;
    size = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | more);
    if (size > 0) sent_ += static_cast<size_t>(size);
  } else if (left_ > 0) {
    size = ::sendfile(socket_.get(), file_.get(), &offset_,
                      static_cast<size_t>(std::min<int64_t>(left_, 1 << 20)));
    // A file that has become shorter cannot be what was announced.
    if (size == 0) {
      want = Want::kClose;
      return false;
    }
    if (size > 0) left_ -= size;
  } else {
    file_.reset();
    if (close_after_) {
      BeginLingering(now);
    } else {
      state_ = State::kReading;
      deadline_ = now + (in_.empty() ? limits_.idle : limits_.client);
      if (draining_) Drain(now);
    }
    return true;
  }
  if (size >= 0) {
    deadline_ = now + limits_.client;
    return true;
  }
  if (errno == EINTR) return true;
  want = errno == EAGAIN || errno == EWOULDBLOCK ? Want::kWrite : Want::kClose;
  return false;
}

bool Connection::Discard(Want& want) {
  std::array<char, 16 << 10> room;
  const ssize_t size = ::recv(socket_.get(), room.data(), room.size(), 0);
  if (size > 0 || (size < 0 && errno == EINTR)) return true;
  want = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? Want::kRead : Want::kClose;
  return false;
}

void Connection::Answer(const RequestHead& request) {
  const bool keep_alive = request.keep_alive && !draining_;
  absl::StatusOr<ServedFile> file = OpenServed(root_, request.path);
  if (!file.ok()) return AnswerError(StatusFor(file.status()), request.head_only, keep_alive);
  BeginWriting({.content_type = ContentType(file->path),
                .content_bytes = file->bytes,
                .keep_alive = keep_alive,
                .date = absl::Now()});
  file_ = std::move(file->fd);
  offset_ = 0;
  left_ = request.head_only ? 0 : file->bytes;
}

void Connection::AnswerError(int status, bool head_only, bool keep_alive) {
  const std::string body = absl::StrCat(status, " ", ReasonPhrase(status), "\n");
  BeginWriting({.status = status,
                .content_bytes = static_cast<int64_t>(body.size()),
                .keep_alive = keep_alive,
                .date = absl::Now()});
  if (!head_only) absl::StrAppend(&out_, body);
}

// A head without a file.
void Connection::BeginWriting(const ResponseHead& head) {
  out_ = WriteResponseHead(head);
  sent_ = 0;
  left_ = 0;
  close_after_ = !head.keep_alive;
  state_ = State::kWriting;
}

void Connection::BeginLingering(absl::Duration now) {
  // To close with input unread would be a reset, which takes from the client the answer that is on its way.
  ::shutdown(socket_.get(), SHUT_WR);
  state_ = State::kLingering;
  deadline_ = now + limits_.linger;
}

}  // namespace ko::demos
