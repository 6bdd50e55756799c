#ifndef KO_OS_NAMED_MAPPING_H_
#define KO_OS_NAMED_MAPPING_H_

#include <cstddef>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/shared_mapping.h"

namespace ko::os {

// Shared memory with a name, for processes that do not descend from one another: a file of mode 0600 in /dev/shm, which
// stays until it is unlinked or the machine restarts. A name is 1 to 200 bytes without '/' and NUL; one leading '/', as
// shm_open(3) wants it, is dropped.
//
// Threads: any. Fork: the mapping is shared. Signals: none.
// Crash: the name appears when the memory is whole, in one step, so no death leaves a half-made object.
// Errors: InvalidArgument for the name; otherwise see below.

// Makes an object of `bytes` zeroed bytes; `initialize` runs on them before the name exists. All of the memory is set
// aside at once, so a full /dev/shm is an error here and no signal later. Errors: AlreadyExists; ResourceExhausted.
absl::StatusOr<SharedMapping> CreateNamedMapping(std::string_view name, size_t bytes,
                                                 absl::FunctionRef<void(void*)> initialize);

// Errors: NotFound; PermissionDenied where it is another user's, or others may write to or read it, or it is no ordinary
// file (a link say); DataLoss where it is smaller than `least_bytes`.
absl::StatusOr<SharedMapping> OpenNamedMapping(std::string_view name, size_t least_bytes);

// Takes the name away; processes that have the object keep it. Errors: NotFound; PermissionDenied where it is another
// user's.
absl::Status UnlinkNamedMapping(std::string_view name);

}  // namespace ko::os

#endif  // KO_OS_NAMED_MAPPING_H_
