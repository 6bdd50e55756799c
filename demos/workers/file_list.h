#ifndef KO_DEMOS_WORKERS_FILE_LIST_H_
#define KO_DEMOS_WORKERS_FILE_LIST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ko::demos {

struct FileList {
  std::vector<std::string> paths;    // of regular files, sorted by their bytes
  std::vector<std::string> skipped;  // folders that cannot be read, with the reason
};

// Every regular file under `path`, as `find PATH -type f` names them: links are not followed, but `path` itself may be
// one, or a file. Errors: NotFound, PermissionDenied for `path` itself.
absl::StatusOr<FileList> ListFiles(const std::string& path);

}  // namespace ko::demos

#endif  // KO_DEMOS_WORKERS_FILE_LIST_H_
