#ifndef KO_MANAGER_POOL_RECORD_H_
#define KO_MANAGER_POOL_RECORD_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "ko/manager/group_record.h"
#include "ko/manager/process_record.h"
#include "ko/manager/roll_out.h"

namespace ko {

class Supervisor;

// What the handles of a pool share: a group of workers by slot, and the rolling restart that is under way.
struct PoolRecord : std::enable_shared_from_this<PoolRecord> {
  std::weak_ptr<Supervisor> supervisor;
  std::shared_ptr<GroupRecord> group;
  ProcessSpec spec;
  std::vector<std::shared_ptr<ProcessRecord>> workers;  // by slot

  std::optional<RollOut> rolling;
  RollOutOptions roll_options;
  int next_slot = 0;
  RollOut last;  // the outcome of the last one
  int outcomes = 0;
  std::vector<std::shared_ptr<absl::AnyInvocable<void(const RollOut&)>>> handlers;

  void Resize(Supervisor& keeper, int size);
  void BeginRollOut(RollOutOptions options);

 private:
  void RollNext();
  void EndRollOut(absl::Status status);
};

}  // namespace ko

#endif  // KO_MANAGER_POOL_RECORD_H_
