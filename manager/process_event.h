#ifndef KO_MANAGER_PROCESS_EVENT_H_
#define KO_MANAGER_PROCESS_EVENT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "ko/manager/exit_event.h"

namespace ko {

// One thing that has happened to a process or a group of a ProcessManager: what a log prints and a timeline is drawn from. A
// value.
//
//   manager.OnEvent([](const ko::ProcessEvent& event) { LOG(INFO) << event; });   // "web: exited with code 3 after 2s"
struct ProcessEvent {
  enum class Kind {
    kStarted,          // an attempt runs
    kReady,            // it has said so
    kExited,           // it has ended, or could not be started: `exit`
    kRestarting,       // another attempt follows in `delay`
    kGaveUp,           // no other follows, because the limit of restarts is reached: `reason`
    kStopping,         // it is asked to end: `signal`, `reason`
    kKilled,           // SIGKILL was sent: `reason`
    kHung,             // it has missed a deadline: `reason`, and gets `signal`
    kRecycling,        // it is well, and is being replaced all the same: `reason`
    kReplaced,         // a new attempt has taken over from the one before, which is asked to end
    kGroupRestarting,  // the group has failed, and starts again in `delay`: `reason`
    kGroupEnded,       // with all its members: `reason` where it failed
    kRollOutEnded,     // of a pool: `reason` where it was not finished
  };

  Kind kind;
  absl::Time time = absl::UnixEpoch();              // by the wall clock, for people
  absl::Duration monotonic = absl::ZeroDuration();  // the same moment by a clock that does not jump
  uint64_t id = 0;         // of the process in its manager, over all attempts; 0 for a group
  std::string name = {};   // of the process or the group
  std::string group = {};  // the group it is in; empty outside of any
  int slot = -1;           // in a pool
  pid_t pid = 0;
  int attempt = 0;
  int signal = 0;
  absl::Duration delay = absl::ZeroDuration();
  std::string reason = {};
  std::optional<ExitEvent> exit = std::nullopt;

  // "web/server: restarting in 200ms", one line.
  std::string ToString() const;
  friend std::ostream& operator<<(std::ostream& os, const ProcessEvent& event) {
    return os << event.ToString();
  }
};

// "started", "gave up" and so on.
std::string_view KindName(ProcessEvent::Kind kind);

}  // namespace ko

#endif  // KO_MANAGER_PROCESS_EVENT_H_
