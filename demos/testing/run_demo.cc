#include "demos/testing/run_demo.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ko/testing/process_state.h"
#include "ko/testing/read_all.h"

namespace ko::demos {
namespace {

Child Start(const testing::TempDir& output, std::vector<std::string> args, std::vector<std::string> env,
            std::string cwd, Stdio out) {
  // The runfiles of a test lie around its working directory.
  args.insert(args.begin(), std::filesystem::absolute("demos/demos").string());
  for (char** variable = environ; *variable != nullptr; ++variable) env.push_back(*variable);
  absl::StatusOr<Child> child = Exec({.argv = std::move(args),
                                      .env = std::move(env),
                                      .cwd = std::move(cwd),
                                      .stdin_from = Stdio::Null(),
                                      .stdout_to = std::move(out),
                                      .stderr_to = Stdio::File(output.File("err")),
                                      .die_with_parent = true});
  ABSL_CHECK(child.ok()) << child.status();
  return *std::move(child);
}

}  // namespace

RunningDemo::RunningDemo(std::vector<std::string> args, std::vector<std::string> env, std::string cwd)
    : child_(Start(output_, std::move(args), std::move(env), std::move(cwd),
                   Stdio::File(output_.File("out")))) {}

RunningDemo::RunningDemo(std::vector<std::string> args, const HeldOutput& held)
    : child_(Start(output_, std::move(args), {}, {}, held.stdio())) {}

RunningDemo::Result RunningDemo::Finish() {
  absl::StatusOr<ExitStatus> status = child_.Wait();
  ABSL_CHECK(status.ok()) << status.status();
  return {*status, testing::ReadFile(output_.File("out")), testing::ReadFile(output_.File("err"))};
}

RunningDemo::Result RunDemo(std::vector<std::string> args) { return RunningDemo(std::move(args)).Finish(); }

std::vector<pid_t> Descendants(pid_t root) {
  std::map<pid_t, std::vector<pid_t>> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (const auto state = testing::ReadProcessState(pid); state.has_value() && state->letter != 'Z') {
      children[state->parent].push_back(pid);
    }
  }
  std::vector<pid_t> found = children[root];
  for (size_t i = 0; i < found.size(); ++i) {
    const std::vector<pid_t>& next = children[found[i]];
    found.insert(found.end(), next.begin(), next.end());
  }
  return found;
}

std::vector<pid_t> AwaitDescendants(pid_t root, size_t count) {
  for (;;) {
    if (std::vector<pid_t> pids = Descendants(root); pids.size() >= count) return pids;
    ::sched_yield();
  }
}

std::string CommandLine(pid_t pid) { return testing::ReadFile(absl::StrCat("/proc/", pid, "/cmdline")); }

std::vector<pid_t> DescendantsTitled(pid_t root, std::string_view title) {
  std::vector<pid_t> titled;
  for (pid_t pid : Descendants(root)) {
    if (absl::StartsWith(CommandLine(pid), title)) titled.push_back(pid);
  }
  return titled;
}

pid_t AwaitDescendantTitled(pid_t root, std::string_view title) {
  for (;;) {
    if (const std::vector<pid_t> pids = DescendantsTitled(root, title); !pids.empty()) return pids.front();
    const auto state = testing::ReadProcessState(root);
    if (!state.has_value() || state->letter == 'Z') return 0;
    ::sched_yield();
  }
}

}  // namespace ko::demos
