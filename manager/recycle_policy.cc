#include "ko/manager/recycle_policy.h"

#include <string_view>

#include "absl/strings/str_cat.h"

namespace ko {

absl::Status RecyclePolicy::Validate() const {
  const auto refuse = [](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("RecyclePolicy: ", what));
  };
  if (max_tasks <= 0) return refuse("max_tasks is not positive");
  if (max_age <= absl::ZeroDuration()) return refuse("max_age is not positive");
  if (!(age_spread >= 0 && age_spread < 1)) return refuse("age_spread is outside [0, 1)");
  if (soft_memory_bytes <= 0) return refuse("soft_memory_bytes is not positive");
  if (hard_memory_bytes <= 0) return refuse("hard_memory_bytes is not positive");
  if (memory_interval <= absl::ZeroDuration()) return refuse("memory_interval is not positive");
  return absl::OkStatus();
}

absl::Duration RecycleAge(const RecyclePolicy& policy, double spread) {
  return policy.max_age * (1 + policy.age_spread * (2 * spread - 1));
}

Recycle CheckRecycle(const RecyclePolicy& policy, const RecycleView& view, double spread) {
  if (view.memory_bytes > policy.hard_memory_bytes) return Recycle::kHardMemory;
  if (view.memory_bytes > policy.soft_memory_bytes) return Recycle::kSoftMemory;
  if (view.tasks >= policy.max_tasks) return Recycle::kTasks;
  if (view.age >= RecycleAge(policy, spread)) return Recycle::kAge;
  return Recycle::kNo;
}

const char* RecycleReason(Recycle recycle) {
  switch (recycle) {
    case Recycle::kTasks:
      return "recycled: it has done its number of tasks";
    case Recycle::kAge:
      return "recycled: it has reached its age";
    case Recycle::kSoftMemory:
      return "recycled: it is above its soft memory limit";
    case Recycle::kHardMemory:
      return "killed: it is above its hard memory limit";
    case Recycle::kNo:
      break;
  }
  return "";
}

}  // namespace ko
