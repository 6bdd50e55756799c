#ifndef KO_PROCESS_DAEMONIZE_H_
#define KO_PROCESS_DAEMONIZE_H_

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/os/unique_fd.h"

namespace ko {

struct DaemonOptions {
  // Where the daemon works: "/", so that it keeps no file system from being unmounted.
  std::string working_directory = "/";
  // 022: files that others may read and nobody else may write, whatever the launching shell had.
  mode_t umask = 022;
  // Standard output and error are appended to this file (created 0640, not through a symbolic link); to
  // /dev/null where empty. Standard input is /dev/null. Relative paths, here and below, are those of the
  // launching command.
  std::string log_file = {};
  // Locked against a second instance, and holding the daemon's pid (0644, not through a symbolic link); none
  // where empty. The lock, not the file's existence, says that a daemon runs; the kernel releases it however
  // the daemon ends.
  std::string pid_file = {};
  // How long the launching command waits for Ready or Fail before it ends the daemon and fails itself.
  absl::Duration ready_timeout = absl::Minutes(1);
};

// The daemon's side of its launch: the launching command, which has the user's attention, exits when this is
// told how the start went. Move-only.
//
// Threads: one at a time. Fork: a forked child's copy says nothing. Signals: SIGPIPE is not raised. Crash: a
// daemon that ends, however it does, before either call makes the launching command fail and say so, as does
// destruction. Errors: FailedPrecondition for a second call and for a moved-from one.
class DaemonLaunch {
 public:
  DaemonLaunch(DaemonLaunch&& other) noexcept = default;
  DaemonLaunch& operator=(DaemonLaunch&& other) noexcept;
  ~DaemonLaunch();

  // The launching command exits with 0.
  absl::Status Ready();
  // The launching command prints `why` and exits with 1. The daemon goes on: it should end itself.
  absl::Status Fail(std::string_view why);

 private:
  friend absl::StatusOr<DaemonLaunch> Daemonize(DaemonOptions options);
  DaemonLaunch(os::UniqueFd launcher, os::UniqueFd pid_file);
  absl::Status Tell(char verdict, std::string_view text);
  void HangUp();

  os::UniqueFd launcher_;
  os::UniqueFd pid_file_;  // locked as long as this process has it open
  pid_t owner_;
};

// Turns the program into a daemon: forks twice, with a session of its own between (so that it can never get a
// terminal), sets working directory, umask and standard streams, and locks the pid file. Returns in the
// daemon only; the launching process waits for Ready() or Fail(why) and exits with 0 or 1, without running
// its exit handlers (stdio is flushed before). What can be checked before (folders, the log file, the pid
// file's folder) fails in the launching process, as the error returned there, and nothing has been forked. In
// the daemon a pid file that another instance holds, and whatever else goes wrong there, is printed by the
// launching command, which exits with 1.
//
// Keep the DaemonLaunch as long as the daemon lives: it holds the pid file's lock.
//
// Threads: refused while there are others (FailedPrecondition). Fork: children of the caller are not the
// daemon's: it cannot wait for them; ProcessManager::Daemonize refuses while it has any. Signals: handlers,
// mask and title are kept. Crash: a launching command that is killed leaves a daemon that starts all the
// same. Errors: FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted.
absl::StatusOr<DaemonLaunch> Daemonize(DaemonOptions options = {});

}  // namespace ko

#endif  // KO_PROCESS_DAEMONIZE_H_
