#ifndef KO_OS_CGROUP_H_
#define KO_OS_CGROUP_H_

#include <sys/types.h>

#include <array>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ko/os/deadline.h"
#include "ko/os/unique_fd.h"

namespace ko::os {

// A cgroup of version 2 below the one that this process is in, for processes that are to be ended together: none
// leaves it by a session of its own, or because its parent has ended.
//
// Destruction kills what is in it, waits for the end of that (10 s at most) and removes it, with all that was
// made below it. The copy that a forked process has does nothing when it is destroyed.
//
// Threads: one at a time; AddSelf, any. Fork: a child enters it by AddSelf; only the process that made it removes
// it. Signals: EINTR is retried. Crash: the folder stays, and so do the processes in it; it can be removed when
// they have ended. Errors: of the files, as cgroups(7) has them.
class Cgroup {
 public:
  // Errors: Unavailable, with the reason, where there is no cgroup of version 2 that this process may write to, or
  // the kernel is older than Linux 5.14 (cgroup.kill); InvalidArgument for a name that is no file's;
  // AlreadyExists; ResourceExhausted without descriptors.
  static absl::StatusOr<Cgroup> CreateBelowOwn(std::string_view name);

  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup();

  const std::string& path() const { return path_; }  // empty for a moved-from one
  // The descriptors it holds, for a forked child that closes them all.
  std::array<int, 4> fds() const { return {parent_.get(), procs_.get(), kill_.get(), events_.get()}; }

  // Moves the calling process into it; its children are born there. Async-signal-safe where it succeeds.
  absl::Status AddSelf() const;

  // Moves another process into it, not what it has started already.
  absl::Status Add(pid_t pid) const;

  // Ends all that is in it by SIGKILL, also what forks meanwhile (cgroup.kill).
  absl::Status Kill() const;

  // Whether there is a process in it, or below it, that has not ended; a zombie is none.
  bool IsPopulated() const;

  // Sleeps until there is none or the deadline is over; false in the latter case.
  absl::StatusOr<bool> AwaitEmpty(const Deadline& deadline) const;

 private:
  Cgroup() = default;

  absl::Status Write(const UniqueFd& file, std::string_view file_name, std::string_view text) const;
  void Abandon();

  pid_t owner_ = 0;
  std::string path_;
  UniqueFd parent_, procs_, kill_, events_;
};

// Where the cgroup of version 2 that a process is in lies, from the texts of its /proc/PID/cgroup and mountinfo.
// Pure. Errors: Unavailable, with the reason, where it is in none that is mounted.
absl::StatusOr<std::string> FindCgroup(std::string_view cgroup_text, std::string_view mountinfo_text);

}  // namespace ko::os

#endif  // KO_OS_CGROUP_H_
