#ifndef KO_DEMOS_PREFORK_HTTP_CONNECTION_H_
#define KO_DEMOS_PREFORK_HTTP_CONNECTION_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "demos/prefork_http/request_head.h"
#include "demos/prefork_http/response_head.h"
#include "ko/os/unique_fd.h"

namespace ko::demos {

struct ConnectionLimits {
  absl::Duration client =
      absl::Seconds(10);  // for a head to be complete, and for a client that does not read on
  absl::Duration idle = absl::Seconds(30);   // between requests
  absl::Duration linger = absl::Seconds(1);  // for the next request of an idle one, when the server stops
};

// One client's connection: reads request heads, answers them with the files under a folder, never waits. It is closed in the
// order that loses no answer: the server's side is shut down, the client's is read to its end, and then it is closed. One that
// is closed while it is idle may have a request under way to it, which its client sends again elsewhere (RFC 9112, 9.3.1).
//
// Threads: one. Fork: no use in a child. Signals: SIGPIPE is to be ignored. Crash: the kernel closes it.
// Errors: what goes wrong is the client's answer or the connection's end.
class Connection {
 public:
  enum class Want { kRead, kWrite, kClose };

  // `root` is the folder's descriptor; `now` is the monotonic clock, here and below.
  Connection(os::UniqueFd socket, int root, const ConnectionLimits& limits, absl::Duration now);

  int fd() const { return socket_.get(); }
  // When Expire is to be called.
  absl::Duration deadline() const { return deadline_; }

  // What the kernel is asked to tell of it; a note of who asks it.
  Want watched() const { return watched_; }
  void set_watched(Want want) { watched_ = want; }

  // Goes on as far as the socket lets it.
  Want Advance(absl::Duration now);
  Want Expire(absl::Duration now);
  // From now on each answer is the last one. One that is idle has a while yet for a request that is under way.
  void Drain(absl::Duration now);

 private:
  enum class State { kReading, kWriting, kLingering };

  // Each goes one step on; false where it has to wait or has ended.
  bool Read(absl::Duration now, Want& want);
  bool Write(absl::Duration now, Want& want);
  bool Discard(Want& want);

  void Answer(const RequestHead& request);
  void AnswerError(int status, bool head_only, bool keep_alive);
  void BeginWriting(const ResponseHead& head);
  void BeginLingering(absl::Duration now);

  os::UniqueFd socket_;
  const int root_;
  const ConnectionLimits limits_;
  absl::Duration deadline_;
  State state_ = State::kReading;
  Want watched_ = Want::kRead;
  bool draining_ = false;
  bool close_after_ = false;
  std::string in_;
  std::string out_;  // of the head, and of a body that is no file
  size_t sent_ = 0;  // of out_
  os::UniqueFd file_;
  off_t offset_ = 0;
  int64_t left_ = 0;  // of the file
};

}  // namespace ko::demos

#endif  // KO_DEMOS_PREFORK_HTTP_CONNECTION_H_
