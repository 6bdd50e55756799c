#include "ko/manager/process_event.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ko {

std::string_view KindName(ProcessEvent::Kind kind) {
  using Kind = ProcessEvent::Kind;
  switch (kind) {
    case Kind::kStarted:
      return "started";
    case Kind::kReady:
      return "ready";
    case Kind::kExited:
      return "exited";
    case Kind::kRestarting:
      return "restarting";
    case Kind::kGaveUp:
      return "gave up";
    case Kind::kStopping:
      return "stopping";
    case Kind::kKilled:
      return "killed";
    case Kind::kHung:
      return "hung";
    case Kind::kRecycling:
      return "recycling";
    case Kind::kReplaced:
      return "replaced";
    case Kind::kGroupRestarting:
      return "group restarting";
    case Kind::kGroupEnded:
      return "group ended";
    case Kind::kRollOutEnded:
      return "roll-out ended";
  }
  return "unknown";
}

std::string ProcessEvent::ToString() const {
  std::string text = group.empty() ? name : absl::StrCat(group, "/", name);
  absl::StrAppend(&text, ": ");
  const bool ended = kind == Kind::kExited && exit.has_value();
  absl::StrAppend(&text, ended ? exit->status.ToString() : std::string(KindName(kind)));
  if (ended && exit->pid != 0) absl::StrAppend(&text, " after ", absl::FormatDuration(exit->run_time));
  if (kind == Kind::kRestarting || kind == Kind::kGroupRestarting) {
    absl::StrAppend(&text, " in ", absl::FormatDuration(delay));
  }
  if (kind == Kind::kStopping || kind == Kind::kHung) {
    absl::StrAppend(&text, " with ", SignalName(signal));
  }
  if (pid != 0) absl::StrAppend(&text, " [pid ", pid, ", attempt ", attempt, "]");
  if (!reason.empty()) absl::StrAppend(&text, ": ", reason);
  return absl::StrReplaceAll(text, {{"\n", " | "}});
}

}  // namespace ko
