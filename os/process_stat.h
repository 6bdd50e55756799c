#ifndef KO_OS_PROCESS_STAT_H_
#define KO_OS_PROCESS_STAT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ko::os {

// What the kernel tells of a process, or of one of its threads, in /proc/PID/stat.
struct ProcessStat {
  pid_t pid;
  char letter;  // R running, S sleeping, T stopped, Z ended and not reaped
  pid_t parent;
  pid_t process_group;
  pid_t session;
  int threads;
  bool exiting;               // the first one is on its way out, or gone
  uint64_t start_time_ticks;  // since boot; with the pid it names a process for good

  // All of its threads have. (The letter is that of the first one alone.)
  bool HasEnded() const { return (letter == 'Z' || letter == 'X') && threads <= 1; }
};

// All of them: threads, any. Errors: nothing, where there is no such process (a zombie is one) and where /proc
// cannot be read.

// Empty, and errno, where there is none.
std::optional<ProcessStat> ReadProcessStat(pid_t pid);

// A letter for each thread.
std::vector<char> ReadThreadLetters(pid_t pid);

// The text of such a file. Pure.
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

// Whether /proc is there and counts processes as this process does.
bool ProcIsOurs();

}  // namespace ko::os

#endif  // KO_OS_PROCESS_STAT_H_
