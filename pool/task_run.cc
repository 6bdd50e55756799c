#include "ko/pool/task_run.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/os/deadline.h"

namespace ko::pool {
namespace {

std::string_view ArgumentsOf(const PoolSegment& segment, uint32_t task) {
  const TaskSlot& slot = segment.task(task);
  const uint64_t bytes = slot.argument_bytes.load(std::memory_order_relaxed);
  if (bytes <= sizeof(slot.arguments)) return {slot.arguments, static_cast<size_t>(bytes)};
  const absl::Span<char> large = segment.LargeArguments(task);
  return {large.data(), static_cast<size_t>(std::min<uint64_t>(bytes, large.size()))};
}

}  // namespace

TaskRun::TaskRun(const PoolSegment& segment, uint32_t task, uint32_t worker, const os::EventFd& bell)
    : segment_(segment),
      bell_(bell),
      slot_(segment.task(task)),
      worker_(segment.worker(worker)),
      task_(task),
      results_(slot_.near_results),
      items_(slot_.items.load(std::memory_order_relaxed)),
      time_limit_ns_(slot_.limited.load(std::memory_order_relaxed) != 0
                         ? slot_.time_limit_ns.load(std::memory_order_relaxed)
                         : 0),
      arguments_(ArgumentsOf(segment, task)) {
  slot_.near_result_bytes.store(0, std::memory_order_relaxed);
}

void TaskRun::End() {
  slot_.items_started.store(worker_.items_started.load(std::memory_order_relaxed), std::memory_order_relaxed);
  // Sequentially consistent: see PoolSupervisor::EndOverdue.
  if (time_limit_ns_ > 0) worker_.overdue_at_ns.store(0);
}

void TaskRun::StartClock() {
  const int64_t overdue_at = absl::ToInt64Nanoseconds(os::MonotonicNow()) + time_limit_ns_;
  // Sequentially consistent, both: see PoolSupervisor::EndOverdue.
  worker_.overdue_at_ns.store(overdue_at);
  if (overdue_at < segment_.header().next_look_ns.load()) bell_.Notify();
}

// Gives the state another number: the supervisor, which may just have found the previous item overdue, must not end this
// one for it. False where the task has been ended.
bool TaskRun::Tick() {
  worker_.overdue_at_ns.store(0);
  uint32_t seen = slot_.state.load(std::memory_order_relaxed);
  while (TaskState(seen).phase() == TaskPhase::kRunning) {
    if (slot_.state.compare_exchange_weak(seen, TaskState(seen).Next().word())) return true;
  }
  return false;
}

void TaskRun::FailItem(const absl::Status& status) {
  const std::string_view message = status.message();
  absl::Span<char> place;
  const size_t bytes = std::min(message.size(), segment_.geometry().message_bytes);
  if (!PlaceFor(status.code(), bytes, place)) return;
  if (bytes > 0) std::memcpy(place.data(), message.data(), bytes);
  Commit(bytes);
}

void TaskRun::FailTooLarge(size_t bytes) {
  FailItem(absl::ResourceExhaustedError(absl::StrCat("the task's result of ", bytes,
                                                     " bytes is longer than PoolOptions::max_message_bytes, ",
                                                     segment_.geometry().message_bytes)));
}

void TaskRun::Move(size_t more) {
  const bool to_large = more > sizeof(slot_.results) - written_;
  const absl::Span<char> place =
      to_large ? segment_.LargeResults(task_) : absl::MakeSpan(slot_.results, sizeof(slot_.results));
  std::memcpy(place.data(), results_, written_);
  results_ = place.data();
  room_ = place.size();
  // After the copy: a death in between leaves them where they were.
  if (is_near_) slot_.result_bytes.store(written_, std::memory_order_relaxed);
  slot_.result_is_large.store(to_large ? 1 : 0, std::memory_order_release);
  if (is_near_) slot_.near_result_bytes.store(TaskSlot::kResultsElsewhere, std::memory_order_release);
  is_near_ = false;
}

}  // namespace ko::pool
