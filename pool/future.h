#ifndef KO_POOL_FUTURE_H_
#define KO_POOL_FUTURE_H_

#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/os/deadline.h"
#include "ko/pool/pool_core.h"
#include "ko/process/arguments.h"

namespace ko {

namespace pool {

template <class T>
using StatusOrVoid = std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>;

// Puts a packed result, or the error that an item ended with, into its place.
template <class T>
void PutResult(const ItemResult& result, StatusOrVoid<T>& place) {
  if (result.code != absl::StatusCode::kOk) {
    place = absl::Status(result.code, result.bytes);
  } else if constexpr (std::is_void_v<T>) {
    place = absl::OkStatus();
  } else {
    internal::ArgumentReader reader(result.bytes);
    T value = internal::ArgumentCodec<T>::Read(reader);
    if (reader.AtEnd()) {
      place = std::move(value);
    } else {
      place = Unpack<T>(result.bytes).status();
    }
  }
}

}  // namespace pool

// The result to come of a task in a ProcessPool. T is void for a function that returns nothing or an absl::Status.
//
// Destruction: the task goes on, its result is dropped; Cancel first to end it. A Future may outlive its pool.
//
// Threads: one at a time; Cancel from any.
// Fork: a child's copy is not ready and waits for nothing.
// Signals: waiting goes on after one.
// Crash: it resolves whichever process dies.
// Errors: see Get.
template <class T>
class Future {
 public:
  Future() = default;
  Future(Future&& other) noexcept
      : core_(std::move(other.core_)),
        task_(std::move(other.task_)),
        error_(std::exchange(other.error_, absl::OkStatus())) {}
  Future& operator=(Future&& other) noexcept {
    Future old(std::move(*this));
    core_ = std::move(other.core_);
    task_ = std::move(other.task_);
    error_ = std::exchange(other.error_, absl::OkStatus());
    return *this;
  }
  ~Future() {
    if (task_ != nullptr) core_->Drop(*task_);
  }

  // Whether there is a result to get: false after Get, and when moved from.
  bool valid() const { return task_ != nullptr || !error_.ok(); }

  // Whether Get answers at once.
  bool ready() const { return task_ == nullptr || core_->IsDone(*task_); }

  // Sleeps until it does; false when `timeout` is over.
  bool Wait(absl::Duration timeout = absl::InfiniteDuration()) const {
    if (task_ == nullptr) return true;
    pool::PendingTask* const task = task_.get();
    return core_->AwaitAny(absl::MakeConstSpan(&task, 1), os::Deadline::After(timeout));
  }

  // Waits for the result, and gives it once. Errors: what the function returned or threw (Unknown, with its what());
  // Aborted where its worker died; Cancelled; DeadlineExceeded after its time limit; what Submit failed with;
  // FailedPrecondition where there is nothing to get (any more), and in a forked child.
  pool::StatusOrVoid<T> Get() {
    if (task_ == nullptr) {
      absl::Status error = std::exchange(error_, absl::OkStatus());
      return error.ok() ? NoTask() : error;
    }
    if (!Wait())
      return absl::FailedPreconditionError("Future: only the process that made the pool can wait for it");
    pool::StatusOrVoid<T> result = absl::Status(absl::StatusCode::kUnknown, "");  // is replaced
    pool::PendingTask* const task = task_.get();
    core_->Take({&task, 1}, [&result](size_t, const pool::TaskOutcome& outcome) {
      std::string_view results = outcome.results;
      const std::optional<pool::ItemResult> item = pool::TakeItemResult(results);
      if (absl::IsCancelled(outcome.end) || !item.has_value()) {
        result =
            outcome.end.ok() ? absl::DataLossError("the task's result has been overwritten") : outcome.end;
      } else {
        pool::PutResult<T>(*item, result);
      }
    });
    task_.reset();
    return result;
  }

  // Ends the task: one that is queued does not start; the worker of one that runs is killed and replaced. The result is
  // Cancelled then, unless it is there already.
  void Cancel() {
    if (task_ != nullptr) core_->Cancel(*task_);
  }

 private:
  friend class ProcessPool;
  static absl::Status NoTask() { return absl::FailedPreconditionError("Future: there is no result to get"); }
  explicit Future(absl::Status error) : error_(std::move(error)) {}
  Future(std::shared_ptr<pool::PoolCore> core, std::unique_ptr<pool::PendingTask> task)
      : core_(std::move(core)), task_(std::move(task)) {}

  std::shared_ptr<pool::PoolCore> core_;
  std::unique_ptr<pool::PendingTask> task_;
  absl::Status error_;  // without a task: what Submit failed with
};

}  // namespace ko

#endif  // KO_POOL_FUTURE_H_
