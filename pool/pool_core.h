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
#include "absl/container/inlined_vector.h"
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

  // Several tasks at once cost less than each by itself: the locks are taken once, and a worker that follows close behind has the
  // queue's memory again after some of them, not after each.
  static constexpr size_t kMostParts = 8;
  struct Part {
    PendingTask* task;
    uint32_t items = 1;
    size_t argument_bytes = 0;
    bool timed = false;
  };
  struct Request {
    TaskFunction function;
    absl::Span<const Part> parts;  // 1 to kMostParts, each a task of its own
    absl::FunctionRef<void(size_t part, absl::Span<char>)> pack;
    // Somebody who sleeps is woken for them only where a processor is to spare; the caller calls WakeForQueued soon.
    bool wakes_later = false;
  };
  // How many of the parts were submitted, from the first one on: at least that. Errors: the first one's.
  absl::StatusOr<size_t> Submit(const Request& request, const TaskOptions& options);
  // Where more than `few` tasks are queued.
  void WakeForQueued(uint32_t few);

  // Whether it has an outcome.
  bool IsDone(const PendingTask& task) const;
  // A hint that it is done, as far as one can guess, and will be taken soon: its memory is on its way from the worker meanwhile.
  void Prefetch(const PendingTask& task) const;
  // Sleeps until one of them has; false when the deadline is over or the interrupt has fired. At most kMostAwaited are looked at.
  // Beside the supervisor, the interrupt and the deaths.
  static constexpr size_t kMostAwaited = os::FutexWaitList::kCapacity - 3;
  // Given what Deaths was, it returns true also when a worker has died since, and wakes workers for what is queued.
  bool AwaitAny(absl::Span<PendingTask* const> tasks, const os::Deadline& deadline,
                const Interrupt& interrupt = {}, std::optional<uint32_t> deaths_heard = std::nullopt);
  // Changes whenever a worker has died, and now and then without.
  uint32_t Deaths() const { return segment_->header().room.load(std::memory_order_acquire); }

  // Of those that are done, at most kMostParts: hands their outcomes to `use` and forgets them.
  void Take(absl::Span<PendingTask* const> tasks, absl::FunctionRef<void(size_t, const TaskOutcome&)> use);
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
  // False where the queue has been overwritten.
  bool Push(uint32_t slot, bool wakes_later);
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many of them can be submitted for all that is known of them. Errors: the first one's.
  absl::StatusOr<size_t> Check(absl::Span<const Part> parts, const TaskOptions& options) const;
  // Places for the first of them, which they are from now on. A task's own word of its place may be gone at any time: the pool
  // may end. Errors: see ProcessPool::Submit.
  using Slots = absl::InlinedVector<uint32_t, kMostParts>;
  absl::StatusOr<Slots> AcquireSlots(absl::Span<const Part> parts, absl::Duration timeout);
  // Gives back the place of a task that is not in the queue.
  void Withdraw(PendingTask& task, uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the task's place says of it, but for its arguments.
  void Describe(TaskSlot& slot, TaskFunction function, const Part& part, const TaskOptions& options);
  // Marks it as queued. False where the pool has ended meanwhile: then it has its outcome already.
  static bool Publish(TaskSlot& slot);
  // Sleeps until a task may be done.
  void AwaitRoom(uint32_t heard, const os::Deadline& deadline);
  // Takes what is done out of the shared memory, to make room.
  void Harvest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Store(uint32_t slot, absl::Status end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Free(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TaskOutcome OutcomeOf(uint32_t slot) const;
  // Of a task in this state that will not be done.
  uint32_t ItemsStarted(TaskState undone) const;
  bool HasUnfinished() ABSL_LOCKS_EXCLUDED(mutex_);
  TaskState StateOf(uint32_t slot) const;

  template <size_t most>
  void TakeUpTo(absl::Span<PendingTask* const> tasks,
                absl::FunctionRef<void(size_t, const TaskOutcome&)> use);
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
