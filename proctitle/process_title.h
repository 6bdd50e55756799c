#ifndef KO_PROCTITLE_PROCESS_TITLE_H_
#define KO_PROCTITLE_PROCESS_TITLE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ko {

// What ps, top and /proc show as this process's command line.
//
//   ko::SetProcessTitle("worker 3: idle").IgnoreError();   // ps: worker 3: idle
//
// Nothing is needed in main. A title may be of any length and hold any bytes; /proc/PID/cmdline shows it followed by a 0,
// and /proc/PID/comm (top, ps -o comm) its first 15 bytes up to a 0. With an empty title ps shows "-".
// argv and the environment stay as they are. A title is never used as a format string. Setting one of up to 4094 bytes
// is a copy to memory, but for the first; a longer one and a change of the first 15 bytes are a system call.
//
// Threads: any. Fork: a child inherits the title, and its own does not change the parent's. Signals: not to be called in a
// signal handler. Crash: none.
// Errors: Unimplemented where the kernel or a sandbox does not allow it (PR_SET_MM_MAP), NotFound without /proc,
// ResourceExhausted without memory: the title stays as it was.
absl::Status SetProcessTitle(std::string_view title);

// The title last set; before the first, the command line with its arguments separated by spaces.
std::string GetProcessTitle();

// Whether SetProcessTitle can work here.
bool IsProcessTitleSupported();

// Sets a title for a while: destruction brings back what there was before, the original command line too.
//
// Threads, signals, crash: as above. Fork: the child's copy, if it is destroyed, changes the child's title only.
// Errors: a title that cannot be set is not set.
class ScopedProcessTitle {
 public:
  explicit ScopedProcessTitle(std::string_view title);
  ~ScopedProcessTitle();
  ScopedProcessTitle(const ScopedProcessTitle&) = delete;
  ScopedProcessTitle& operator=(const ScopedProcessTitle&) = delete;

 private:
  std::string previous_text_;
  std::string previous_name_;
  bool was_command_line_;
};

// Gives a class these as members.
class ProcessTitle {
 public:
  absl::Status SetProcessTitle(std::string_view title) const { return ko::SetProcessTitle(title); }
  std::string GetProcessTitle() const { return ko::GetProcessTitle(); }
  bool IsProcessTitleSupported() const { return ko::IsProcessTitleSupported(); }
};

}  // namespace ko

#endif  // KO_PROCTITLE_PROCESS_TITLE_H_
