#ifndef KO_MANAGER_TIMER_QUEUE_H_
#define KO_MANAGER_TIMER_QUEUE_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace ko {

// What is to be done at some time. Pure: who has a clock calls RunDue.
//
// Threads: one at a time. Fork: a child's copy is its own. Signals: none. Crash: none. Errors: none.
class TimerQueue {
 public:
  // Does one thing at one time, which can be set again. Destruction cancels, also while it runs. Not to outlive the queue.
  class Timer {
   public:
    Timer(TimerQueue& queue, absl::AnyInvocable<void()> run);
    ~Timer() { Cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void Set(absl::Duration at);  // infinite: never
    void Cancel() { Set(absl::InfiniteDuration()); }
    absl::Duration at() const { return at_; }

   private:
    friend class TimerQueue;
    TimerQueue& queue_;
    const std::shared_ptr<absl::AnyInvocable<void()>> run_;
    absl::Duration at_ = absl::InfiniteDuration();
    uint64_t sequence_ = 0;
  };

  // The earliest; infinite where there is none.
  absl::Duration next_at() const {
    return timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first.first;
  }
  // Does what is due at `now`, the earliest first; how many there were.
  int RunDue(absl::Duration now);

 private:
  absl::btree_map<std::pair<absl::Duration, uint64_t>, Timer*>
      timers_;  // of one time in the order of their setting
  uint64_t next_sequence_ = 0;
};

}  // namespace ko

#endif  // KO_MANAGER_TIMER_QUEUE_H_
