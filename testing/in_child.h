#ifndef KO_TESTING_IN_CHILD_H_
#define KO_TESTING_IN_CHILD_H_

#include <optional>
#include <string>
#include <type_traits>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace ko::testing {

// How a child of the test ended, and what it left.
struct InChildResult {
  std::optional<int> exit_code;    // where it exited
  std::optional<int> term_signal;  // where a signal killed it
  bool core_dumped = false;
  std::string value;  // what the callable returned; empty where it returned nothing, or did not return
  std::string out;    // what was printed to standard output and error until then, by its own children too
  std::string err;

  bool ok() const { return exit_code == 0; }
};

// Not for direct use: InChild without the template.
InChildResult RunInChild(absl::FunctionRef<std::string()> run, absl::Duration limit);

// Runs `run` in a plainly forked child, so that a test can change what belongs to the whole process: limits,
// signal dispositions, system call filters, its life. It returns nothing or a string. EXPECT_ and ADD_FAILURE
// work in it, and in whatever it forks: they fail the test. It leaves by _exit(0) after its stdio has been
// flushed, or however `run` ends it.
//
// The child is killed after `limit`, and when the test dies. Fork: plain fork(2), so not while the test has
// threads that hold locks. Errors: a machine without processes or memory ends the test program.
template <class Run>
InChildResult InChild(Run run, absl::Duration limit = absl::Seconds(50)) {
  return RunInChild(
      [&run]() -> std::string {
        if constexpr (std::is_void_v<std::invoke_result_t<Run&>>) {
          run();
          return {};
        } else {
          return run();
        }
      },
      limit);
}

}  // namespace ko::testing

#endif  // KO_TESTING_IN_CHILD_H_
