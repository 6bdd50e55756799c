#ifndef KO_PROCESS_FD_LAYOUT_H_
#define KO_PROCESS_FD_LAYOUT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ko/process/command.h"

namespace ko {

// Which descriptor of the caller's gets which number in a command, and how the command learns of it.
struct FdLayout {
  struct Place {
    int source;  // the caller's
    int target;  // 3 or more
    friend bool operator==(const Place&, const Place&) = default;
  };
  std::vector<Place> places;             // by ascending target
  std::vector<std::string> environment;  // "NAME=value" each, without LISTEN_PID
};

// Listening sockets are numbered from 3 on; then those with a number of their own, then the others, each the
// lowest that is free. Pure. Errors: InvalidArgument for a number below 3, beyond any limit, or taken twice, a descriptor that is
// negative, a name or variable that cannot be one.
absl::StatusOr<FdLayout> LayOutFds(absl::Span<const ListenFd> listen_fds, absl::Span<const InheritedFd> fds);

}  // namespace ko

#endif  // KO_PROCESS_FD_LAYOUT_H_
