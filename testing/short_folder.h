#ifndef KO_TESTING_SHORT_FOLDER_H_
#define KO_TESTING_SHORT_FOLDER_H_

#include <fcntl.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "ko/os/unique_fd.h"
#include "ko/testing/temp_dir.h"

namespace ko::testing {

// A folder of its own for one test (see temp_dir.h) whose files have short names, as the addresses of Unix
// sockets have to be. The names are good in this process and in those forked while it is there.
class ShortFolder {
 public:
  ShortFolder() : fd_(::open(folder_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

  std::string File(std::string_view name) const {
    return absl::StrCat("/proc/self/fd/", fd_.get(), "/", name);
  }
  std::string Write(std::string_view name, std::string_view text) const {
    folder_.Write(name, text);
    return File(name);
  }

 private:
  TempDir folder_;
  os::UniqueFd fd_;
};

}  // namespace ko::testing

#endif  // KO_TESTING_SHORT_FOLDER_H_
