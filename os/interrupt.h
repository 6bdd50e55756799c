#ifndef KO_OS_INTERRUPT_H_
#define KO_OS_INTERRUPT_H_

#include <atomic>
#include <cstdint>

namespace ko {

// What may end a blocking call early: the call returns Cancelled as soon as `*word` differs from `expected`,
// also when it did so before the call. `SignalDispatcher::interrupt()` gives one that fires while a signal
// waits to be dispatched, so a signal that arrives just before the call goes to sleep is not slept through:
//
//   while (!self.ShouldShutdown()) {
//     absl::StatusOr<ko::Job> job = queue->Receive(absl::InfiniteDuration(), self.interrupt());
//     ...
//   }
//
// Whoever changes `word` either wakes its futex or does so in a signal handler of the waiting thread. An
// empty one never fires. `word` must outlive the call.
struct Interrupt {
  const std::atomic<uint32_t>* word = nullptr;
  uint32_t expected = 0;

  bool fired() const { return word != nullptr && word->load(std::memory_order_acquire) != expected; }
};

}  // namespace ko

#endif  // KO_OS_INTERRUPT_H_
