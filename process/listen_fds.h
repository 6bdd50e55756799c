#ifndef KO_PROCESS_LISTEN_FDS_H_
#define KO_PROCESS_LISTEN_FDS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ko/os/unique_fd.h"

namespace ko {

// A socket that this process was started with.
struct ReceivedFd {
  os::UniqueFd fd;   // close-on-exec
  std::string name;  // "unknown" where it was given none
};

// The sockets that systemd, or an Exec with Command::listen_fds, has handed to this process: descriptors from 3
// on, told by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. None where there are none, or where they are meant for
// another process (a parent that did not take them).
//
// The caller owns them from now on, so the variables are removed and a second call finds none; a program that
// keeps them, to execute itself again, must not call this twice.
//
// Threads: changes the environment, so no other thread may use that meanwhile. Fork: a child inherits them as
// any descriptor; LISTEN_PID is not its own. Signals: none. Crash: none. Errors: InvalidArgument for variables
// that are no numbers; FailedPrecondition where a descriptor that they promise is not open. Then no descriptor
// has been touched.
enum class ListenEnvironment { kRemove, kKeep };
absl::StatusOr<std::vector<ReceivedFd>> ListenFds(ListenEnvironment environment = ListenEnvironment::kRemove);

}  // namespace ko

#endif  // KO_PROCESS_LISTEN_FDS_H_
