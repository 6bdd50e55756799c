#include "demos/workers/file_list.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace ko::demos {
namespace {

namespace fs = std::filesystem;

// Adds what is in `folder`, but for sub-folders, which are appended to `folders`.
void ListFolder(const fs::path& folder, FileList& list, std::vector<fs::path>& folders) {
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    std::error_code type_error;
    const fs::file_type type = it->symlink_status(type_error).type();
    if (type == fs::file_type::directory) folders.push_back(it->path());
    if (type == fs::file_type::regular) list.paths.push_back(it->path().string());
  }
  if (error) list.skipped.push_back(absl::StrCat(folder.string(), ": ", error.message()));
}

}  // namespace

absl::StatusOr<FileList> ListFiles(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return absl::NotFoundError(absl::StrCat("--path=", path, ": ", error.message()));
  FileList list;
  if (fs::is_regular_file(status)) {
    list.paths.push_back(path);
    return list;
  }
  if (!fs::is_directory(status)) {
    return absl::InvalidArgumentError(absl::StrCat("--path=", path, ": neither a folder nor a file"));
  }
  std::vector<fs::path> folders = {path};
  while (!folders.empty()) {
    const fs::path folder = std::move(folders.back());
    folders.pop_back();
    ListFolder(folder, list, folders);
  }
  std::sort(list.paths.begin(), list.paths.end());
  return list;
}

}  // namespace ko::demos
