#ifndef KO_MANAGER_RECYCLE_POLICY_H_
#define KO_MANAGER_RECYCLE_POLICY_H_

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ko {

// When a process that is well is replaced by a new one all the same: against leaks, fragmentation, and what else gathers. The
// new one is started first, and the old one is stopped, by its StopPlan, when the new one is ready: there is never one less.
// No limits by default.
struct RecyclePolicy {
  static constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

  // Tasks (Self::EndTask): at least so many; it goes on until the new one is ready.
  int64_t max_tasks = kUnlimited;
  // Since its start, spread by +-`age_spread` of itself, so that not all go at once.
  absl::Duration max_age = absl::InfiniteDuration();
  double age_spread = 0.1;
  // Resident memory. Above `soft` it is replaced as above; above `hard` it is killed, and its RestartPolicy decides. The
  // kernel tells nobody when a process grows, so this alone is looked at every `memory_interval`.
  int64_t soft_memory_bytes = kUnlimited;
  int64_t hard_memory_bytes = kUnlimited;
  absl::Duration memory_interval = absl::Seconds(5);

  bool watches_memory() const { return soft_memory_bytes != kUnlimited || hard_memory_bytes != kUnlimited; }

  bool IsAnything() const {
    return max_tasks != kUnlimited || max_age != absl::InfiniteDuration() || watches_memory();
  }

  // InvalidArgument, naming the field: limits, ages and intervals that are not positive, a spread outside [0, 1).
  absl::Status Validate() const;
};

struct RecycleView {
  int64_t tasks = 0;
  absl::Duration age = absl::ZeroDuration();
  int64_t memory_bytes = 0;  // 0: not known
};

enum class Recycle { kNo, kTasks, kAge, kSoftMemory, kHardMemory };

// Pure. `spread` in [0, 1) is the process's own, drawn once.
Recycle CheckRecycle(const RecyclePolicy& policy, const RecycleView& view, double spread);
// The age at which it is due; infinite where it never is.
absl::Duration RecycleAge(const RecyclePolicy& policy, double spread);

// "after 100 tasks" and so on.
const char* RecycleReason(Recycle recycle);

}  // namespace ko

#endif  // KO_MANAGER_RECYCLE_POLICY_H_
