#ifndef KO_POOL_TASK_RUN_H_
#define KO_POOL_TASK_RUN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ko/os/event_fd.h"
#include "ko/os/status_code.h"
#include "ko/pool/pool_segment.h"
#include "ko/process/argument_codec.h"

namespace ko::pool {

// What stands before the result of an item: how many bytes it has, and its code in the lowest eight bits.
using ItemHeader = uint64_t;
inline ItemHeader MakeItemHeader(absl::StatusCode code, size_t bytes) {
  return ItemHeader{bytes} << 8 | static_cast<uint8_t>(code);
}

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
  TaskRun(const PoolSegment& segment, uint32_t task, uint32_t worker, const os::EventFd& bell);

  // Before each item; false when there is no other one to be run here.
  bool StartItem() {
    if (ended_ >= items_) return false;
    // One more result is to find room.
    if (written_ > segment_.geometry().message_bytes) return false;
    if (time_limit_ns_ > 0 && ended_ > 0 && !Tick()) return false;
    worker_.items_started.store(ended_ + 1, std::memory_order_release);
    if (time_limit_ns_ > 0) StartClock();
    return true;
  }
  internal::ArgumentReader& arguments() { return arguments_; }

  // How an item ended. The value is packed by `pack(absl::Span<char>)` right where it is read.
  template <class Pack>
  void EndItem(size_t value_bytes, Pack pack) {
    absl::Span<char> place;
    if (!PlaceFor(absl::StatusCode::kOk, value_bytes, place)) return FailTooLarge(value_bytes);
    pack(place);
    Commit(value_bytes);
  }
  void FailItem(const absl::Status& status);

  uint32_t items_ended() const { return ended_; }

  // After the function, before the task is done.
  void End();
  // After that: its worker may take another one.
  void Forget() { worker_.items_started.store(0, std::memory_order_relaxed); }

 private:
  // False where there is no room for so much.
  bool PlaceFor(absl::StatusCode code, size_t bytes, absl::Span<char>& place) {
    if (bytes > segment_.geometry().message_bytes) return false;
    const ItemHeader header = MakeItemHeader(code, bytes);
    if (sizeof(header) + bytes > room_ - written_) Move(sizeof(header) + bytes);
    std::memcpy(results_ + written_, &header, sizeof(header));
    place = absl::MakeSpan(results_ + written_ + sizeof(header), bytes);
    return true;
  }
  // To where there is room for so much more. In the task's large memory there always is, StartItem sees to it.
  void Move(size_t more);
  void FailTooLarge(size_t bytes);
  void Commit(size_t bytes) {
    written_ += sizeof(ItemHeader) + bytes;
    ++ended_;
    // Pairs with the acquire of whoever reads the results of a worker that has died.
    if (is_near_) {
      slot_.near_result_bytes.store(static_cast<uint8_t>(written_), std::memory_order_release);
    } else {
      slot_.result_bytes.store(written_, std::memory_order_release);
    }
  }
  bool Tick();
  void StartClock();

  const PoolSegment& segment_;
  const os::EventFd& bell_;
  TaskSlot& slot_;
  WorkerSlot& worker_;
  const uint32_t task_;
  char* results_;  // they begin beside the state
  size_t room_ = TaskSlot::kNearResults;
  bool is_near_ = true;
  const uint32_t items_;
  const int64_t time_limit_ns_;
  uint32_t ended_ = 0;
  size_t written_ = 0;  // of complete items
  internal::ArgumentReader arguments_;
};

// What is called in the worker for a task: an instance of RunTask for its function.
using TaskFunction = void (*)(TaskRun&);

// One item's result, taken off the front of `results`; empty where there is no complete one.
struct ItemResult {
  absl::StatusCode code;
  std::string_view bytes;
};
inline std::optional<ItemResult> TakeItemResult(std::string_view& results) {
  ItemHeader header;
  if (results.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, results.data(), sizeof(header));
  if (header >> 8 > results.size() - sizeof(header)) return std::nullopt;
  const std::string_view bytes = results.substr(sizeof(header), static_cast<size_t>(header >> 8));
  results.remove_prefix(sizeof(header) + bytes.size());
  const auto code = os::StatusCodeFrom(static_cast<uint8_t>(header));
  return ItemResult{code.value_or(absl::StatusCode::kDataLoss), bytes};
}

}  // namespace ko::pool

#endif  // KO_POOL_TASK_RUN_H_
