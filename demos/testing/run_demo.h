#ifndef KO_DEMOS_TESTING_RUN_DEMO_H_
#define KO_DEMOS_TESTING_RUN_DEMO_H_

#include <map>
#include <string>
#include <vector>

#include "demos/testing/held_output.h"
#include "ko/ko.h"
#include "ko/testing/temp_dir.h"

namespace ko::demos {

// The host's program, started as a user does it; ended and reaped with this object at the latest.
class RunningDemo {
 public:
  struct Result {
    ExitStatus status;
    std::string out;
    std::string err;
  };

  // `args` as on the command line; `env` on top of the test's own.
  explicit RunningDemo(std::vector<std::string> args, std::vector<std::string> env = {},
                       std::string cwd = {});
  // Its standard output is `held`, and not in its Result.
  RunningDemo(std::vector<std::string> args, const HeldOutput& held);

  pid_t pid() const { return child_.pid(); }
  Child& child() { return child_; }
  // Waits for the end.
  Result Finish();

 private:
  testing::TempDir output_;
  Child child_;
};

RunningDemo::Result RunDemo(std::vector<std::string> args);

// A demo's processes whose command line starts with `title`, among the descendants of `root`.
std::vector<pid_t> DescendantsTitled(pid_t root, std::string_view title);
// Waits until there is one; 0 where `root` has ended.
pid_t AwaitDescendantTitled(pid_t root, std::string_view title);
// All descendants.
std::vector<pid_t> Descendants(pid_t root);
// Waits until there are at least so many; what there are then.
std::vector<pid_t> AwaitDescendants(pid_t root, size_t count);
// A process's command line as ps shows it.
std::string CommandLine(pid_t pid);

}  // namespace ko::demos

#endif  // KO_DEMOS_TESTING_RUN_DEMO_H_
