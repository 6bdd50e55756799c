#include "ko/os/fork_handlers.h"

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>

#include "ko/os/child_code.h"
#include "ko/os/register_atfork.h"
#include "ko/os/thread_id.h"

extern "C" void* __dso_handle __attribute__((visibility("hidden")));

namespace ko::os {
namespace {

// Registered for good, the oldest one first.
class Group {
 public:
  size_t size() const { return size_.load(std::memory_order_acquire); }

  void Add(const ForkHandlers& handlers) {
    const size_t index = size_.load(std::memory_order_relaxed);
    if (index == kMost) std::abort();
    all_[index] = handlers;
    // Release: pairs with size(), in this thread or behind the lock of the C library's registry.
    size_.store(index + 1, std::memory_order_release);
  }

  // As the C library does it: the newest one first before a fork, the oldest one first after it.
  void RunBefore(size_t size) const {
    for (size_t i = size; i-- > 0;) all_[i].before();
  }
  void RunInParent(size_t size) const {
    for (size_t i = 0; i < size; ++i) all_[i].in_parent();
  }
  void RunInChild(size_t size, const ForkedFrom& from) const {
    for (size_t i = 0; i < size; ++i) {
      if (from.locked || !all_[i].only_locks) all_[i].in_child(from);
    }
  }

 private:
  static constexpr size_t kMost = 8;

  ForkHandlers all_[kMost] = {};
  std::atomic<size_t> size_ = 0;
};

constinit Group inner;
constinit Group outer;

// Of the fork that is under way on this thread. What another thread registers meanwhile has no part in it.
struct UnderWay {
  pid_t process, thread;
  size_t inner, outer;
};
constinit thread_local UnderWay under_way = {};

// What the child is to let in; written in children only, and only where there is any: the page is the parent's until then.
constinit bool holds_back = false;
constinit sigset_t held_back = {};

void Before() {
  under_way = {.process = ::getpid(), .thread = ThreadId(), .inner = inner.size(), .outer = outer.size()};
  outer.RunBefore(under_way.outer);
  inner.RunBefore(under_way.inner);
}
void InParent() {
  inner.RunInParent(under_way.inner);
  outer.RunInParent(under_way.outer);
}
KO_CHILD_CODE void InChild(const ForkedFrom& from, size_t inner_size, size_t outer_size) {
  if (holds_back) holds_back = false;
  inner.RunInChild(inner_size, from);
  outer.RunInChild(outer_size, from);
}

}  // namespace

KO_CHILD_CODE void RunForkHandlersInChild(pid_t parent, pid_t forking_thread, bool handlers_reset) {
  InChild({.process = parent, .thread = forking_thread, .locked = false, .handlers_reset = handlers_reset},
          inner.size(), outer.size());
}

void RegisterForkHandlers(const ForkHandlers& handlers, ForkOrder order) {
  static std::mutex mutex;
  static bool known_to_the_c_library = false;
  const std::lock_guard lock(mutex);
  (order == ForkOrder::kOuter ? outer : inner).Add(handlers);
  if (known_to_the_c_library || __register_atfork == nullptr) return;
  known_to_the_c_library = true;
  const auto in_child = [] {
    InChild(
        {.process = under_way.process, .thread = under_way.thread, .locked = true, .handlers_reset = false},
        under_way.inner, under_way.outer);
  };
  __register_atfork(Before, InParent, in_child, __dso_handle);
}

void LetInAfterFork(int signo) {
  if (!holds_back) ::sigemptyset(&held_back);
  holds_back = true;
  ::sigaddset(&held_back, signo);
}

KO_CHILD_CODE void LetInWhatWasHeldBack(sigset_t& mask) {
  if (!holds_back) return;
  for (int signo = 1; signo < NSIG; ++signo) {
    if (::sigismember(&held_back, signo) == 1) ::sigdelset(&mask, signo);
  }
}

}  // namespace ko::os
