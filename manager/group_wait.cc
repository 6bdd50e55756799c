#include "ko/manager/group_wait.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"

namespace ko {
namespace {

absl::Status Late(const GroupRecord& group, std::string_view what, absl::Duration timeout) {
  return absl::DeadlineExceededError(
      absl::StrCat("Group ", group.options.name, ": ", what, " after ", absl::FormatDuration(timeout)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Supervisor>> SupervisorOf(const GroupRecord* group) {
  if (group == nullptr) return absl::FailedPreconditionError("Group: this handle is of no group");
  std::shared_ptr<Supervisor> supervisor = group->supervisor.lock();
  if (supervisor == nullptr || supervisor->closed() || !supervisor->IsOwnedByThisProcess()) {
    return absl::FailedPreconditionError(
        absl::StrCat("Group ", group->options.name, ": its manager is gone, or belongs to another process"));
  }
  return supervisor;
}

absl::Status AwaitGroupReady(std::shared_ptr<GroupRecord> group, absl::Duration timeout) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = SupervisorOf(group.get());
  if (!supervisor.ok()) return supervisor.status();
  const auto ready = [&] { return (*supervisor)->IsUp(*group); };
  absl::StatusOr<bool> done =
      (*supervisor)->RunUntil([&] { return ready() || group->ended; }, os::Deadline::After(timeout));
  if (!done.ok()) return done.status();
  if (ready()) return absl::OkStatus();
  if (!*done) return Late(*group, "not ready", timeout);
  return absl::AbortedError(
      absl::StrCat("Group ", group->options.name, ": ended before it was ready: ", group->end.message()));
}

absl::Status AwaitGroupEnd(std::shared_ptr<GroupRecord> group, absl::Duration timeout) {
  absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = SupervisorOf(group.get());
  if (!supervisor.ok()) return group != nullptr && group->ended ? group->end : supervisor.status();
  const auto ended = [&] { return group->ended || group->members.empty(); };
  absl::StatusOr<bool> done = (*supervisor)->RunUntil(ended, os::Deadline::After(timeout));
  if (ended()) return group->end;
  if (!done.ok()) return done.status();
  return Late(*group, "still running", timeout);
}

absl::Status StopAndAwaitGroup(std::shared_ptr<GroupRecord> group) {
  if (absl::StatusOr<std::shared_ptr<Supervisor>> supervisor = SupervisorOf(group.get()); supervisor.ok()) {
    (*supervisor)->StopGroup(*group);
  }
  return AwaitGroupEnd(std::move(group), absl::InfiniteDuration());
}

}  // namespace ko
