#include "ko/signals/signal_inbox.h"

#include <utility>

#include "ko/os/futex.h"

namespace ko {

SignalInbox::SignalInbox(os::EventFd bell, pid_t owner_thread)
    : bell_(std::move(bell)), owner_thread_(owner_thread), process_mark_(os::ProcessMark()) {
  for (uint32_t i = 0; i < kCapacity; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
}

bool SignalInbox::Push(const SignalInfo& info) {
  uint32_t position = tail_.load(std::memory_order_relaxed);
  for (;;) {
    Cell& cell = cells_[position % kCapacity];
    const uint32_t turn = cell.turn.load(std::memory_order_acquire);  // pairs with the store in Pop
    if (turn == position) {
      if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
      cell.info = info;
      cell.turn.store(position + 1, std::memory_order_release);  // pairs with the load in Pop
      return true;
    }
    if (static_cast<int32_t>(turn - position) < 0) return false;
    position = tail_.load(std::memory_order_relaxed);
  }
}

void SignalInbox::Ring(bool on_owner_thread) {
  arrived_.fetch_add(1, std::memory_order_release);  // pairs with the load in pending()
  bell_.Notify();
  // After the bell: a Dispatch that silences it too early sees this change and silences it once more.
  rung_.fetch_add(1, std::memory_order_release);  // pairs with the load in HasWork
  // The owner's own system calls end with EINTR; those that sleep on the counter (Interrupt) elsewhere need this.
  if (!on_owner_thread) os::FutexWake(arrived_, os::FutexScope::kPrivate, 1);
}

bool SignalInbox::Pop(SignalInfo& info) {
  const uint32_t position = head_.load(std::memory_order_relaxed);
  Cell& cell = cells_[position % kCapacity];
  if (cell.turn.load(std::memory_order_acquire) != position + 1)
    return false;  // pairs with the store in Push
  info = cell.info;
  head_.store(position + 1, std::memory_order_relaxed);
  cell.turn.store(position + kCapacity, std::memory_order_release);  // pairs with the load in Push
  ++dispatched_;
  return true;
}

void SignalInbox::Drop(int signo) {
  for (uint32_t position = head_.load(std::memory_order_relaxed);; ++position) {
    Cell& cell = cells_[position % kCapacity];
    if (cell.turn.load(std::memory_order_acquire) != position + 1) return;  // pairs with the store in Push
    if (cell.info.signo == signo) cell.info.signo = 0;
  }
}

void SignalInbox::Silence() {
  rung_seen_ = rung_.load(std::memory_order_acquire);
  bell_.Drain();
}

void SignalInbox::RingAgain() {
  bell_.Notify();
  rung_.fetch_add(1, std::memory_order_release);  // pairs with the load in HasWork
}

}  // namespace ko
