#ifndef KO_IPC_SEMAPHORE_H_
#define KO_IPC_SEMAPHORE_H_

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/semaphore_words.h"
#include "ko/os/interrupt.h"

namespace ko {

struct SemaphoreOptions {
  // Where not empty: makes a named one (mode 0600) for processes that do not descend from this one. It stays until it is
  // unlinked. A name has 1 to 200 bytes without '/'.
  std::string name;
};

// A counting semaphore for this process and those that are forked from it, or, with a name, for any of the same user.
//
//   absl::StatusOr<ko::Semaphore> semaphore = ko::Semaphore::Create();
//   if (!semaphore.ok()) return semaphore.status();
//   absl::StatusOr<int> result = semaphore->LockExecute([] { return UseWhatOneMayUseAtATime(); });
//
// A permit belongs to the process that has acquired it: to the thread, if there are several, which alone can release it.
// It is given back when the thread ends, in whatever way. A waiter gets it at once: the kernel tells it. Waiters are served
// in the order in which they fall asleep; others may overtake the first of them a few times, and then no more.
//
// With more than 126 permits a waiter is told at once of each release, but of the deaths of the first 126 holders only; it
// finds the permits of others with the next release.
//
// Threads: any number; not moved or destroyed while others use it.
// Fork: the child uses the same semaphore, and has acquired nothing.
// Signals: waits go on after one, see Interrupt; not to be called from a handler.
// Crash: SIGKILL at any instruction leaves a permit free or with somebody who is alive; no waiter misses it.
// Errors: FailedPrecondition for a moved-from one, and in a process that was made by a raw clone(2) without
// set_robust_list(2); DataLoss where the memory has been overwritten; others with each function.
class Semaphore {
 public:
  // Errors: InvalidArgument for less than 1 or more than 65,536 permits and for a name that is none; AlreadyExists;
  // ResourceExhausted; Unimplemented on a kernel without futex_waitv(2).
  static absl::StatusOr<Semaphore> Create(int permits = 1, const SemaphoreOptions& options = {});
  // Errors: NotFound; PermissionDenied where it is not this user's alone; DataLoss where it is something else.
  static absl::StatusOr<Semaphore> Open(std::string_view name);
  // Takes the name away; those who have the object keep it. Errors: NotFound, PermissionDenied.
  static absl::Status Unlink(std::string_view name);

  Semaphore(Semaphore&&) noexcept = default;
  Semaphore& operator=(Semaphore&&) noexcept = default;
  // Releases what the calling thread has acquired.
  ~Semaphore() = default;

  // Errors: DeadlineExceeded; Cancelled when `interrupt` has fired and no permit is free; FailedPrecondition, at once, where
  // the thread holds all permits and would wait for itself.
  absl::Status Acquire(absl::Duration timeout = absl::InfiniteDuration(), Interrupt interrupt = {}) {
    if (words_ == nullptr) return MovedFrom();
    return words_->TakeAtOnce() ? absl::OkStatus() : words_->Acquire(timeout, interrupt);
  }
  // False where no permit is free, or those that wait are first.
  bool TryAcquire() { return words_ != nullptr && words_->TryAcquire(); }
  // Errors: FailedPrecondition where this thread has acquired none.
  absl::Status Release() { return words_ == nullptr ? MovedFrom() : words_->Release(); }

  // Whether this process has one.
  bool IsAcquired() const { return words_ != nullptr && words_->IsAcquired(); }
  int permits() const { return words_ == nullptr ? 0 : static_cast<int>(words_->permits()); }
  // How many are free at this moment.
  int available() const { return words_ == nullptr ? 0 : static_cast<int>(words_->available()); }

  // Runs `fn` with a permit, which is released on every way out, and hands on what it returns: nothing becomes an
  // absl::Status, a value a StatusOr of it; a Status or StatusOr stays what it is. Errors: those of Acquire, and `fn` did not
  // run; those of `fn`.
  template <class F>
  auto LockExecute(F&& fn) {
    return Execute(Acquire(), std::forward<F>(fn));
  }
  // The same where a permit is free. Errors: Unavailable where it is not, and `fn` did not run.
  template <class F>
  auto TryExecute(F&& fn) {
    return Execute(TryAcquire() ? absl::OkStatus() : NotAcquired(), std::forward<F>(fn));
  }

 private:
  friend class SemaphoreTestPeer;
  explicit Semaphore(std::unique_ptr<SemaphoreWords> words) : words_(std::move(words)) {}

  template <class T>
  struct ExecuteResult {
    using type = absl::StatusOr<T>;
  };
  static absl::Status MovedFrom();
  absl::Status NotAcquired() const;

  template <class F, class Result = typename ExecuteResult<std::invoke_result_t<F>>::type>
  Result Execute(absl::Status acquired, F&& fn) {
    if (!acquired.ok()) return acquired;
    const absl::Cleanup release = [this] { Release().IgnoreError(); };
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      std::forward<F>(fn)();
      return absl::OkStatus();
    } else {
      return std::forward<F>(fn)();
    }
  }

  std::unique_ptr<SemaphoreWords> words_;
};

template <>
struct Semaphore::ExecuteResult<void> {
  using type = absl::Status;
};
template <>
struct Semaphore::ExecuteResult<absl::Status> {
  using type = absl::Status;
};
template <class T>
struct Semaphore::ExecuteResult<absl::StatusOr<T>> {
  using type = absl::StatusOr<T>;
};

}  // namespace ko

#endif  // KO_IPC_SEMAPHORE_H_
