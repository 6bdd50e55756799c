#ifndef KO_DEMOS_WORKERS_JOB_H_
#define KO_DEMOS_WORKERS_JOB_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ko::demos {

// "LINES BYTES PATH\n" for a file, LINES being its newlines, as `wc -lc` counts them. In the path a newline is written as
// \n and a backslash as \\, so that there is a line a file.
absl::StatusOr<std::string> CountFile(const std::string& path);

// Runs `command` with `path` as its last argument; its standard output. Aborted, Unknown, with how it ended, where it did
// not exit with 0; ResourceExhausted for more than `max_bytes` of output.
absl::StatusOr<std::string> RunCommandOnFile(const std::vector<std::string>& command, const std::string& path,
                                             size_t max_bytes);

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_JOB_H_
