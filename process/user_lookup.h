#ifndef KO_PROCESS_USER_LOOKUP_H_
#define KO_PROCESS_USER_LOOKUP_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ko {

// The numbers that stand for a user. A value.
struct UserIds {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;  // sorted, each once, gid among them
  friend bool operator==(const UserIds&, const UserIds&) = default;
};

// Those of this process; empty where its real, effective and saved ids differ.
absl::StatusOr<std::optional<UserIds>> OwnUserIds();

// Who Command::user, group and supplementary_groups mean; what is empty is this process's own, or the
// database's where there is a user. Asks the user database (getpwnam(3)), which may read files and ask
// servers. Errors: NotFound for a name that is not in it; InvalidArgument for a number that is none, and for a
// user that is a number without an entry where no group is given.
absl::StatusOr<UserIds> LookUpUser(const std::string& user, const std::string& group,
                                   const std::optional<std::vector<std::string>>& supplementary_groups);

}  // namespace ko

#endif  // KO_PROCESS_USER_LOOKUP_H_
