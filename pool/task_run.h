#ifndef KO_POOL_TASK_RUN_H_
#define KO_POOL_TASK_RUN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ko/os/event_fd.h"
#include "ko/pool/pool_segment.h"
#include "ko/process/argument_codec.h"

namespace ko::pool {

// A task as the worker sees it that runs it: the arguments of its items, one after the other, and the place for their
// results. The result of an item is a header and its bytes: the packed value, or the message of an error.
//
// Threads: one.
// Fork: the worker only.
// Signals: none.
// Crash: the results of the items that have ended stay.
// Errors: see each.
class TaskRun {
 public:
  // `bell` wakes the supervisor.
  TaskRun(const PoolSegment& segment, uint32_t task, const os::EventFd& bell);

  // Before each item; false when there is no other one to be run here.
  bool StartItem();
  internal::ArgumentReader& arguments() { return arguments_; }

  // How an item ended. The value is packed by `pack(absl::Span<char>)` right where it is read.
  template <class Pack>
  void EndItem(size_t value_bytes, Pack pack) {
    absl::Span<char> place;
    if (!PlaceFor(absl::StatusCode::kOk, value_bytes, place)) return FailTooLarge(value_bytes);
    pack(place);
    Commit();
  }
  void FailItem(const absl::Status& status);

  uint32_t items_ended() const { return ended_; }

 private:
  bool PlaceFor(absl::StatusCode code, size_t bytes, absl::Span<char>& place);
  void FailTooLarge(size_t bytes);
  void Commit();
  bool Tick();

  const PoolSegment& segment_;
  const os::EventFd& bell_;
  TaskSlot& slot_;
  absl::Span<char> large_results_;
  const uint32_t items_;
  const int64_t time_limit_ns_;
  uint32_t ended_ = 0;
  size_t written_ = 0;  // of complete items
  size_t uncommitted_ = 0;
  internal::ArgumentReader arguments_;
};

// What is called in the worker for a task: an instance of RunTask for its function.
using TaskFunction = void (*)(TaskRun&);

// One item's result, taken off the front of `results`; empty where there is no complete one.
struct ItemResult {
  absl::StatusCode code;
  std::string_view bytes;
};
std::optional<ItemResult> TakeItemResult(std::string_view& results);

}  // namespace ko::pool

#endif  // KO_POOL_TASK_RUN_H_
