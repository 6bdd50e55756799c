#ifndef KO_PROCESS_LISTEN_H_
#define KO_PROCESS_LISTEN_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"

namespace ko {

// One listening stream socket, for workers that share it: those that are forked later inherit it, commands get
// it by Command::listen_fds. `address` is one of
//
//   "127.0.0.1:8080", "[::1]:8080"   a numeric address and a port; port 0 takes a free one (getsockname(2))
//   ":8080"                          all addresses of this machine, of both families where it has IPv6
//   "/run/server.sock"               a socket in the file system; a name without '/' is written "./name"
//   "@name"                          the abstract namespace of Linux, which leaves no file
//
// A file of a socket that nobody listens to any more, left by a server that was killed, is replaced; nobody
// removes this one's. TCP addresses can be bound again at once (SO_REUSEADDR).
//
// Threads: any. Fork: inherited, closed on exec. Signals: none. Crash: the kernel closes it; a file stays.
// Errors: InvalidArgument for what is no address; FailedPrecondition (EADDRINUSE) where another listens there;
// PermissionDenied; what socket(2), bind(2) and listen(2) list, with the address.
absl::StatusOr<os::UniqueFd> Listen(std::string_view address);

}  // namespace ko

#endif  // KO_PROCESS_LISTEN_H_
