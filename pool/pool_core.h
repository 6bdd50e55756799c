#ifndef KO_POOL_POOL_CORE_H_
#define KO_POOL_POOL_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "ko/os/deadline.h"
#include "ko/os/event_fd.h"
#include "ko/os/futex.h"
#include "ko/os/interrupt.h"
#include "ko/pool/pool_options.h"
#include "ko/pool/pool_segment.h"
#include "ko/pool/spin.h"
#include "ko/pool/task_queue.h"
#include "ko/pool/task_run.h"
#include "ko/process/child.h"

namespace ko::pool {

// What became of a task.
struct TaskOutcome {
  std::string_view results;  // of its items, see TakeItemResult
  absl::Status end;          // why there is none for the others
  uint32_t items_started = 0;
  absl::Duration run_time = absl::ZeroDuration();  // where it was asked for
};

// A task that was submitted, in the process that has the pool. It must stay where it is, and be given back by Take or Drop.
struct PendingTask {
  static constexpr uint32_t kNone = ~uint32_t{0};

  // Its place in the shared memory, as long as that is not needed for another one.
  std::atomic<uint32_t> slot{kNone};
  // After that.
  std::string results;
  TaskOutcome outcome;
};

// The pool without the types of its tasks; see ProcessPool.
class PoolCore {
 public:
  static absl::StatusOr<std::shared_ptr<PoolCore>> Create(PoolOptions options);
  PoolCore(const PoolCore&) = delete;
  ~PoolCore();

  struct Request {
    TaskFunction function;
    uint32_t items = 1;
    size_t argument_bytes = 0;
    absl::FunctionRef<void(absl::Span<char>)> pack;
    bool timed = false;
    // Somebody who sleeps is woken for it only where a processor is to spare; the caller calls WakeForQueued soon.
    bool wakes_later = false;
  };
  absl::Status Submit(const Request& request, const TaskOptions& options, PendingTask& task);
  // Where more than `few` tasks are queued.
  void WakeForQueued(uint32_t few);

  // Whether it has an outcome.
  bool IsDone(const PendingTask& task) const;
  // Sleeps until one of them has; false when the deadline is over or the interrupt has fired. At most kMostAwaited are looked at.
  // Beside the supervisor, the interrupt and the deaths.
  static constexpr size_t kMostAwaited = os::FutexWaitList::kCapacity - 3;
  // Given what Deaths was, it returns true also when a worker has died since, and wakes workers for what is queued.
  bool AwaitAny(absl::Span<PendingTask* const> tasks, const os::Deadline& deadline,
                const Interrupt& interrupt = {}, std::optional<uint32_t> deaths_heard = std::nullopt);
  // Changes whenever a worker has died, and now and then without.
  uint32_t Deaths() const { return segment_->header().room.load(std::memory_order_acquire); }

  // Of one that is done: hands its outcome to `use` and forgets it.
  void Take(PendingTask& task, absl::FunctionRef<void(const TaskOutcome&)> use);
  // Forgets it, done or not; it runs all the same.
  void Drop(PendingTask& task);
  // Ends it with Cancelled, unless it is done. One that runs is done when its worker has been killed.
  void Cancel(PendingTask& task);

  // See ProcessPool.
  absl::Status Finish(absl::Duration timeout);
  void Stop();

  size_t workers() const { return segment_->geometry().workers; }
  size_t max_message_bytes() const { return segment_->geometry().message_bytes; }
  std::vector<pid_t> WorkerPids() const;
  pid_t supervisor_pid() const { return supervisor_pid_; }

 private:
  // Whom a place in the shared memory belongs to.
  struct Owner {
    enum class Kind { kNobody, kTask, kDropped, kBeingTaken };
    Kind kind = Kind::kNobody;
    PendingTask* task = nullptr;
  };

  PoolCore(std::shared_ptr<PoolSegment> segment, Child supervisor, os::EventFd bell);

  absl::Status CheckProcess() const;
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A place for the task, which it is from now on. Errors: see ProcessPool::Submit.
  absl::StatusOr<uint32_t> AcquireSlot(PendingTask& task, const os::Deadline& deadline);
  // Sleeps until a task may be done.
  void AwaitRoom(uint32_t heard, const os::Deadline& deadline);
  // Takes what is done out of the shared memory, to make room. False where nothing is.
  bool Harvest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Store(uint32_t slot, absl::Status end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Free(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TaskOutcome OutcomeOf(uint32_t slot) const;
  // Of a task in this state that will not be done.
  uint32_t ItemsStarted(TaskState undone) const;
  bool HasUnfinished() ABSL_LOCKS_EXCLUDED(mutex_);
  TaskState StateOf(uint32_t slot) const;

  // Whether a worker is, and no processor to spare for another one beside the caller.
  bool IsAwake() const;
  // Whether a processor is to spare for the caller.
  bool MaySpin() const;
  // Whether the supervisor lives. Adds its word to what is slept on.
  bool AwaitSupervisor(os::FutexWaitList& waits);
  bool SupervisorLives() const;
  // After the supervisor's end: nothing that is not done will ever be.
  void Fail();
  void EndAll(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(PoolOrder order);

  const std::shared_ptr<PoolSegment> segment_;
  TaskQueue queue_;
  const os::EventFd bell_;
  const uint64_t owner_process_;
  const pid_t supervisor_pid_;
  SpinHabit spin_habit_;

  absl::Mutex mutex_;
  Child supervisor_ ABSL_GUARDED_BY(mutex_);
  std::vector<Owner> owners_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
  uint32_t harvest_from_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // why no task will ever be done again
};

}  // namespace ko::pool

#endif  // KO_POOL_POOL_CORE_H_
