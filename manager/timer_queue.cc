#include "ko/manager/timer_queue.h"

namespace ko {

TimerQueue::Timer::Timer(TimerQueue& queue, absl::AnyInvocable<void()> run)
    : queue_(queue), run_(std::make_shared<absl::AnyInvocable<void()>>(std::move(run))) {}

void TimerQueue::Timer::Set(absl::Duration at) {
  if (at == at_) return;
  if (at_ != absl::InfiniteDuration()) queue_.timers_.erase({at_, sequence_});
  at_ = at;
  if (at == absl::InfiniteDuration()) return;
  sequence_ = queue_.next_sequence_++;
  queue_.timers_.emplace(std::pair(at, sequence_), this);
}

int TimerQueue::RunDue(absl::Duration now) {
  int count = 0;
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Timer& timer = *timers_.begin()->second;
    const auto run = timer.run_;  // it may destroy its timer
    timer.Cancel();
    (*run)();
    ++count;
  }
  return count;
}

}  // namespace ko
