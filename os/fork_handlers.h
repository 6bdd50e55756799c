#ifndef KO_OS_FORK_HANDLERS_H_
#define KO_OS_FORK_HANDLERS_H_

#include <sys/types.h>

#include <csignal>

namespace ko::os {

// What a child wants to know of the fork that it comes from.
struct ForkedFrom {
  pid_t process;        // the parent
  pid_t thread;         // its thread that forked, by its id there
  bool locked;          // whether `before` was run
  bool handlers_reset;  // whether the kernel has taken the parent's signal handlers away
};

// What a module does around each fork of this process, whoever forks. The C library has a registry of such handlers, too
// (pthread_atfork), but runs them in its own fork only; ForkWithPidfd, which can do without that, runs these.
struct ForkHandlers {
  // In the parent, around a fork by the C library: for locks that another thread may hold.
  void (*before)();
  void (*in_parent)();
  void (*in_child)(const ForkedFrom& from);
  bool only_locks = false;  // `in_child` has nothing to do where `before` was not run
};

// Locks are taken in this order everywhere: in a fork, too.
enum class ForkOrder {
  kOuter,  // `before` is run ahead of each inner one: under its lock runs what may take the others' locks
  kInner,  // under its lock runs nothing of another module
};

// Registers them for good; up to 8 of each order.
//
// Threads: any. Fork: a child has its parent's. Signals: not from handlers. Crash, errors: none.
void RegisterForkHandlers(const ForkHandlers& handlers, ForkOrder order = ForkOrder::kInner);

// From the first call on, a fork waits until no other thread holds the mutex, so that a child finds it free.
template <auto& mutex>
void KeepLockFromChildren() {
  [[maybe_unused]] static const bool registered = [] {
    RegisterForkHandlers({[] { mutex.lock(); }, [] { mutex.unlock(); },
                          [](const ForkedFrom&) { mutex.unlock(); }, /*only_locks=*/true});
    return true;
  }();
}

// In a child that was made without the C library's fork, by a thread that was the only one. All signals are blocked.
void RunForkHandlersInChild(pid_t parent, pid_t forking_thread, bool handlers_reset);

// For `in_child`: the signal was blocked in the parent only until the parent has room for it.
void LetInAfterFork(int signo);
// In a child: takes out of `mask` what is not to stay blocked in it.
void LetInWhatWasHeldBack(sigset_t& mask);

}  // namespace ko::os

#endif  // KO_OS_FORK_HANDLERS_H_
