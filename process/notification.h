#ifndef KO_PROCESS_NOTIFICATION_H_
#define KO_PROCESS_NOTIFICATION_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace ko {

// What a service tells its manager in one message of sd_notify(3). A value.
struct Notification {
  pid_t pid = 0;  // of the sender, by the kernel's word

  // READY=1 and STOPPING=1; of a message with both the last one counts.
  bool ready = false;
  bool stopping = false;

  bool watchdog = false;          // WATCHDOG=1: alive
  bool watchdog_trigger = false;  // WATCHDOG=trigger: to be treated as one that is not

  std::string status;                            // STATUS=: one line of UTF-8, empty where there is none
  std::optional<int64_t> main_pid;               // MAINPID=: a positive number that a process id can be
  std::optional<absl::Duration> extend_timeout;  // EXTEND_TIMEOUT_USEC=: longer than none

  bool operator==(const Notification&) const = default;
};

// The longest message that is taken, as systemd has it.
inline constexpr size_t kMaxNotificationBytes = 4096;

// Lines "NAME=value"; the last one may lack its newline. Lines with other names, or with values that make no
// sense, are left out, and of a name that is there twice the last good one counts. Nothing where the message
// is empty, too long, or has NUL bytes in it (one at the end is allowed).
//
// Pure. Threads: any.
std::optional<Notification> ParseNotification(std::string_view message);

}  // namespace ko

#endif  // KO_PROCESS_NOTIFICATION_H_
