#include "demos/workers/settings.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ko/amqp/amqp_url.h"

namespace ko::demos {
namespace {

using Role = WorkersSettings::Role;

absl::StatusOr<Role> ParseRole(std::string_view role) {
  if (role == "both") return Role::kBoth;
  if (role == "publish") return Role::kPublish;
  if (role == "work") return Role::kWork;
  return absl::InvalidArgumentError(absl::StrCat("--role=", role, ": there are publish, work and both"));
}

// Of a URL that may be mistyped, so that what comes after the scheme may be a password.
std::string_view Scheme(std::string_view url) { return url.substr(0, url.find(':') + 1); }

// The URL of a broker; empty for shared memory.
absl::StatusOr<std::string> ParseQueue(const std::string& queue) {
  if (queue == "shm:") return std::string();
  const std::string_view scheme = Scheme(queue);
  if (scheme != "amqp:" && scheme != "amqps:") {
    return absl::InvalidArgumentError(
        absl::StrCat("--queue=", scheme,
                     "...: there are shm:, shared memory, and amqp://HOST?queue=NAME or amqps:, a broker"));
  }
  if (const absl::StatusOr<AmqpUrl> url = AmqpUrl::Parse(queue); !url.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--queue=", scheme, "...: ", url.status().message()));
  }
  return queue;
}

// What only a queue that others can reach has.
absl::Status CheckOnlyOnBroker(const WorkersFlags& flags) {
  if (flags.role != "both") {
    return absl::InvalidArgumentError(
        absl::StrCat("--role=", flags.role,
                     " with --queue=shm:: that queue is this run's own, and no other "
                     "run could publish to it or work on it; --queue=amqp://... can be shared"));
  }
  if (flags.exit_when_idle != absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        "--exit_when_idle with --queue=shm:: the workers leave when the files are done");
  }
  return absl::OkStatus();
}

}  // namespace

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
  if (flags.exit_when_idle < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--exit_when_idle=", absl::FormatDuration(flags.exit_when_idle), " is negative"));
  }
  const absl::StatusOr<Role> role = ParseRole(flags.role);
  if (!role.ok()) return role.status();
  const absl::StatusOr<std::string> broker = ParseQueue(flags.queue);
  if (!broker.ok()) return broker.status();
  if (broker->empty()) {
    if (absl::Status possible = CheckOnlyOnBroker(flags); !possible.ok()) return possible;
  }
  WorkersSettings settings{.workers = flags.workers,
                           .command = {},
                           .crash_percent = flags.crash_percent,
                           .grace = flags.grace,
                           .role = *role,
                           .broker = *broker,
                           .exit_when_idle = flags.exit_when_idle};
  std::string_view job = flags.job;
  if (job == "count") return settings;
  if (absl::ConsumePrefix(&job, "exec:")) {
    settings.command = absl::StrSplit(job, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (!settings.command.empty()) return settings;
  }
  return absl::InvalidArgumentError(absl::StrCat("--job=", flags.job, ": there are count and exec:COMMAND"));
}

}  // namespace ko::demos
