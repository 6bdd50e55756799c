#include "ko/os/fork_handlers.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>

#include "ko/os/register_atfork.h"
#include "ko/os/thread_id.h"

extern "C" void* __dso_handle __attribute__((visibility("hidden")));

namespace ko::os {
namespace {

constexpr size_t kMaxHandlers = 8;

constinit ForkHandlers registered[kMaxHandlers] = {};
constinit std::atomic<size_t> count = 0;

// Of the fork that is under way on this thread.
constinit thread_local pid_t forking_thread = 0;
constinit thread_local size_t handlers_run =
    0;  // those that another thread registers meanwhile have no part in it

// What the child is to let in; written in children only, and only where there is any: the page is the parent's until then.
constinit bool holds_back = false;
constinit sigset_t held_back = {};

// As the C library does it: the newest one first before a fork, the oldest one first after it.
void Before() {
  forking_thread = ThreadId();
  handlers_run = count.load(std::memory_order_acquire);
  for (size_t i = handlers_run; i-- > 0;) registered[i].before();
}
void InParent() {
  for (size_t i = 0; i < handlers_run; ++i) registered[i].in_parent();
}

}  // namespace

void RunForkHandlersInChild(const ForkedFrom& from) {
  const size_t all = from.locked ? handlers_run : count.load(std::memory_order_acquire);
  if (holds_back) holds_back = false;
  for (size_t i = 0; i < all; ++i) registered[i].in_child(from);
}

void RegisterForkHandlers(const ForkHandlers& handlers) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const size_t index = count.load(std::memory_order_relaxed);
  if (index == kMaxHandlers) std::abort();
  registered[index] = handlers;
  // Release: pairs with the loads above, in this thread or behind the lock of the C library's registry.
  count.store(index + 1, std::memory_order_release);
  if (index == 0 && __register_atfork != nullptr) {
    const auto in_child = [] {
      RunForkHandlersInChild({.thread = forking_thread, .locked = true, .handlers_reset = false});
    };
    __register_atfork(Before, InParent, in_child, __dso_handle);
  }
}

void LetInAfterFork(int signo) {
  if (!holds_back) ::sigemptyset(&held_back);
  holds_back = true;
  ::sigaddset(&held_back, signo);
}

void LetInWhatWasHeldBack(sigset_t& mask) {
  if (!holds_back) return;
  for (int signo = 1; signo < NSIG; ++signo) {
    if (::sigismember(&held_back, signo) == 1) ::sigdelset(&mask, signo);
  }
}

}  // namespace ko::os
