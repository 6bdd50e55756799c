#include "demos/workers/settings.h"

#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ko::demos {

absl::StatusOr<WorkersSettings> WorkersSettings::FromFlags(const WorkersFlags& flags) {
  if (flags.workers < 1 || flags.workers > kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers=", flags.workers, ": a number from 1 to ", kMaxWorkers, " is needed"));
  }
  if (flags.crash_percent < 0 || flags.crash_percent > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("--crash_percent=", flags.crash_percent, ": a number from 0 to 100 is needed"));
  }
  if (flags.grace < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--grace=", absl::FormatDuration(flags.grace), " is negative"));
  }
  if (flags.queue != "shm:") {
    return absl::InvalidArgumentError(
        absl::StrCat("--queue=", flags.queue, ": there is shm:, shared memory"));
  }
  WorkersSettings settings{flags.workers, {}, flags.crash_percent, flags.grace};
  std::string_view job = flags.job;
  if (job == "count") return settings;
  if (absl::ConsumePrefix(&job, "exec:")) {
    settings.command = absl::StrSplit(job, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (!settings.command.empty()) return settings;
  }
  return absl::InvalidArgumentError(absl::StrCat("--job=", flags.job, ": there are count and exec:COMMAND"));
}

}  // namespace ko::demos
