#ifndef KO_TESTING_TEMP_DIR_H_
#define KO_TESTING_TEMP_DIR_H_

#include <sys/types.h>

#include <string>
#include <string_view>

namespace ko::testing {

// A folder of its own for one test, under the test runner's, removed with all that is in it by the
// destructor.
//
// Fork: only the process that made it removes it. Errors: a machine without room for it ends the process.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  // The path of a file in it.
  std::string File(std::string_view name) const;
  // The same, with the file written.
  std::string Write(std::string_view name, std::string_view text, mode_t mode = 0644) const;

 private:
  std::string path_;
  pid_t owner_;
};

}  // namespace ko::testing

#endif  // KO_TESTING_TEMP_DIR_H_
