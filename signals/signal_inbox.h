#ifndef KO_SIGNALS_SIGNAL_INBOX_H_
#define KO_SIGNALS_SIGNAL_INBOX_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "ko/os/event_fd.h"
#include "ko/os/process_mark.h"
#include "ko/signals/signal_info.h"

namespace ko {

// The signals that have come for one dispatcher and have not been dispatched: a bounded ring that signal handlers on any
// thread fill and the dispatcher's thread empties. (The cells carry turns, as in D. Vyukov's bounded queue.)
//
// Push, size and Ring are async-signal-safe; the others are the dispatcher's.
class SignalInbox {
 public:
  // At the high-water mark the handler leaves further signals with the kernel; what is above it is for handlers that run
  // on other threads at the same moment.
  static constexpr uint32_t kCapacity = 1024;
  static constexpr uint32_t kHighWater = 768;

  SignalInbox(os::EventFd bell, pid_t owner_thread);

  // False in a child, however forked, whose copy of this is of no use.
  bool IsOurs() const { return os::ProcessMark() == process_mark_; }

  uint32_t size() const {
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
  }
  // False where it is full.
  bool Push(const SignalInfo& info);
  // After a Push: wakes the dispatcher's thread.
  void Ring(bool on_owner_thread);

  // The oldest one, if there is any; its `signo` is 0 where it has been dropped.
  bool Pop(SignalInfo& info);
  // Makes those of a signal nobody's.
  void Drop(int signo);
  // Whether Dispatch has anything to do; costs no system call.
  bool HasWork() const {
    return pending() != 0 || rung_.load(std::memory_order_acquire) != rung_seen_ ||
           held_back.load(std::memory_order_relaxed) != 0;
  }
  uint32_t pending() const { return arrived_.load(std::memory_order_acquire) - dispatched_; }
  // Makes the descriptor unreadable until the next Ring.
  void Silence();
  // Makes it readable again, where something was left undone.
  void RingAgain();

  int poll_fd() const { return bell_.fd(); }
  const std::atomic<uint32_t>& arrived() const { return arrived_; }
  uint32_t dispatched() const { return dispatched_; }
  pid_t owner_thread() const { return owner_thread_; }

  // Bit (signo - 1) of the signals that it takes.
  std::atomic<uint64_t> subscribed{0};
  // Those that a handler has blocked on the owner's thread because this was nearly full; LetHeldBackIn unblocks them.
  std::atomic<uint64_t> held_back{0};

 private:
  struct Cell {
    std::atomic<uint32_t> turn;
    SignalInfo info;
  };

  os::EventFd bell_;
  const pid_t owner_thread_;
  const uint64_t process_mark_;
  std::atomic<uint32_t> arrived_{0};  // pushed, and to be told
  std::atomic<uint32_t> rung_{0};     // how often the bell has been rung
  uint32_t rung_seen_ = 0;            // the same when it was silenced
  uint32_t dispatched_ = 0;
  std::atomic<uint32_t> tail_{0};
  std::atomic<uint32_t> head_{0};
  std::array<Cell, kCapacity> cells_;
};

}  // namespace ko

#endif  // KO_SIGNALS_SIGNAL_INBOX_H_
