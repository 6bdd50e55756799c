#include "ko/signals/signal_router.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "ko/os/child_code.h"
#include "ko/os/errno_status.h"
#include "ko/os/fork_handlers.h"
#include "ko/os/queue_signal.h"
#include "ko/os/signal_mask.h"

namespace ko {
namespace {

uint64_t Bit(int signo) { return uint64_t{1} << (signo - 1); }

// What the handler reads. Constant-initialized, so that it is there before any constructor.
constinit std::atomic<SignalInbox*> inboxes[kMaxInboxes] = {};
constinit std::atomic<uint64_t> managed{0};  // the signals that have our handler
constinit std::atomic<int> handlers_running{0};

constinit std::atomic<pid_t> owner{0};  // the process that all of this is about; 0: none yet

// The rest is guarded by this, which a fork takes too.
constinit std::mutex mutex;
constinit int subscribers[NSIG] = {};
constinit struct sigaction previous[NSIG] = {};

sigset_t SetOf(uint64_t bits) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (int signo = 1; signo < NSIG; ++signo) {
    if ((bits & Bit(signo)) != 0) ::sigaddset(&signals, signo);
  }
  return signals;
}

// A signal on its way to the thread of an inbox has this code, negative like those of programs: the kernel lets a thread
// send no other to another one. Its own code travels in a field that such signals have no use for.
constexpr int kRelayedCode = -0x6b6f;

bool Relay(pid_t thread, siginfo_t info) {
  info.si_utime = info.si_code;
  info.si_code = kRelayedCode;
  return os::QueueSignal(thread, info);
}

SignalInfo ReadInfo(const siginfo_t& info) {
  const int code = info.si_code == kRelayedCode ? static_cast<int>(info.si_utime) : info.si_code;
  return {info.si_signo, code, info.si_pid, info.si_uid, info.si_value.sival_int};
}

// Leaves the managed signals with the kernel until Dispatch lets them in: they stay blocked when the handler returns.
void HoldBack(SignalInbox& inbox, ucontext_t& context) {
  uint64_t blocked = 0;
  const uint64_t all = managed.load(std::memory_order_relaxed);
  for (int signo = 1; signo < NSIG; ++signo) {
    if ((all & Bit(signo)) == 0 || ::sigismember(&context.uc_sigmask, signo) == 1) continue;
    ::sigaddset(&context.uc_sigmask, signo);
    blocked |= Bit(signo);
  }
  inbox.held_back.fetch_or(blocked, std::memory_order_relaxed);  // read on this thread, in LetHeldBackIn
}

// For a signal of a child that was made without the C library's fork, or that shares this memory until it executes a
// program (vfork): it has the disposition from before, and the signal comes again when the handler returns.
void GivePreviousDisposition(const siginfo_t& info) {
  ::sigaction(info.si_signo, &previous[info.si_signo], nullptr);
  os::QueueSignal(::gettid(), info);
}

// Whether the signal is left with the kernel, because an inbox has no room for it. On other threads than the inbox's own
// that is so at the high-water mark already: the signal goes to that thread, whose handler holds the next ones back.
bool LeaveWithKernel(SignalInbox& inbox, pid_t thread, const siginfo_t& info, ucontext_t& context) {
  if (thread != inbox.owner_thread()) {
    return inbox.size() >= SignalInbox::kHighWater && Relay(inbox.owner_thread(), info);
  }
  if (inbox.size() < SignalInbox::kCapacity || !os::QueueSignal(thread, info)) return false;
  HoldBack(inbox, context);
  return true;
}

void Deliver(const siginfo_t& info, ucontext_t& context) {
  const pid_t thread = ::gettid();
  const uint64_t bit = Bit(info.si_signo);
  const auto takes_it = [bit](SignalInbox* inbox) {
    return inbox != nullptr && (inbox->subscribed.load(std::memory_order_seq_cst) & bit) != 0;
  };
  for (auto& slot : inboxes) {
    SignalInbox* inbox = slot.load(std::memory_order_seq_cst);
    if (takes_it(inbox) && LeaveWithKernel(*inbox, thread, info, context)) return;
  }
  const SignalInfo copy = ReadInfo(info);
  for (auto& slot : inboxes) {
    SignalInbox* inbox = slot.load(std::memory_order_seq_cst);
    if (!takes_it(inbox) || !inbox->Push(copy)) continue;
    const bool on_owner_thread = thread == inbox->owner_thread();
    inbox->Ring(on_owner_thread);
    if (on_owner_thread && inbox->size() >= SignalInbox::kHighWater) HoldBack(*inbox, context);
  }
}

// Async-signal-safe. All signals are blocked meanwhile, so it is not nested on a thread.
void OnSignal(int, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (::getpid() == owner.load(std::memory_order_relaxed)) {
    // Pairs with the loop in Withdraw: whoever sees the count at 0 after taking an inbox or a subscription away knows
    // that nobody uses it.
    handlers_running.fetch_add(1, std::memory_order_seq_cst);
    Deliver(*info, *static_cast<ucontext_t*>(context));
    handlers_running.fetch_sub(1, std::memory_order_seq_cst);
  } else {
    GivePreviousDisposition(*info);
  }
  errno = saved_errno;
}

void Install(int signo) {
  struct sigaction action = {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  // First, because the handler may run the moment it is installed, and without end where it cannot hold signals back.
  managed.fetch_or(Bit(signo), std::memory_order_relaxed);
  ::sigaction(signo, &action, &previous[signo]);
}

// `reset`: in a child from which the kernel has taken all handlers, so that ours is the default action by now.
void RestoreAction(int signo, bool reset) {
  struct sigaction current;
  ::sigaction(signo, nullptr, &current);
  const bool is_ours = (current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == OnSignal;
  const bool is_reset = reset && current.sa_handler == SIG_DFL;
  if (is_ours || is_reset) ::sigaction(signo, &previous[signo], nullptr);
}

KO_CHILD_CODE void Uninstall(int signo, bool reset) {
  // The kernel leaves ignored signals as they are, and has made of ours what is right for all others.
  if (!reset || previous[signo].sa_handler == SIG_IGN) RestoreAction(signo, reset);
  managed.fetch_and(~Bit(signo), std::memory_order_relaxed);
}

// In a forked child: what was the parent's is forgotten. What is nothing already is not written to, because a page that a
// child writes to has to be copied for it.
KO_CHILD_CODE void ForgetParent(bool reset) {
  for (int signo = 1; signo < NSIG; ++signo) {
    if (subscribers[signo] == 0) continue;
    Uninstall(signo, reset);
    subscribers[signo] = 0;
  }
  for (auto& slot : inboxes) {
    if (slot.load() != nullptr) slot.store(nullptr);
  }
  handlers_running.store(0);  // another thread's handler may have been running in the parent
  owner = ::getpid();
}

// Where the kernel has taken the handlers of the parent, nothing is looked at before EnterProcess, which forgets it all: to do
// that here would be to copy the page that it lies in. What is due at once is to ignore what the parent ignored before.
KO_CHILD_CODE void LeaveToEnterProcess() {
  for (int signo = 1; signo < NSIG; ++signo) {
    if (subscribers[signo] != 0 && previous[signo].sa_handler == SIG_IGN)
      RestoreAction(signo, /*reset=*/true);
  }
}

// Signals are blocked across a fork: one that came in the child before it has forgotten would ring the parent's bells.
constinit sigset_t mask_before_fork = {};

void BeforeFork() {
  sigset_t all;
  ::sigfillset(&all);
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, &all, &mask);
  mutex.lock();
  mask_before_fork = mask;
}

void Unlock(const sigset_t& mask_to_restore) {
  const sigset_t mask = mask_to_restore;
  mutex.unlock();
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

void AfterForkInParent() { Unlock(mask_before_fork); }

// Those of the forking thread that were left with the kernel.
KO_CHILD_CODE void LetInWhatParentHeldBack(const os::ForkedFrom& from) {
  for (auto& slot : inboxes) {
    SignalInbox* inbox = slot.load();
    if (inbox == nullptr || inbox->owner_thread() != from.thread) continue;
    const uint64_t held_back = inbox->held_back.load();
    for (int signo = 1; signo < NSIG; ++signo) {
      if ((held_back & Bit(signo)) == 0) continue;
      if (from.locked) ::sigdelset(&mask_before_fork, signo);
      os::LetInAfterFork(signo);
    }
  }
}

KO_CHILD_CODE void AfterForkInChild(const os::ForkedFrom& from) {
  // Else it is about a process from which the parent was forked, and whose inboxes may be gone here.
  const bool is_about_parent = owner == from.process;
  if (is_about_parent) LetInWhatParentHeldBack(from);
  if (is_about_parent && from.handlers_reset) {
    LeaveToEnterProcess();
  } else {
    ForgetParent(from.handlers_reset);
  }
  if (from.locked) Unlock(mask_before_fork);
}

// Also notices a child that has not forgotten yet, or that was made by a raw system call.
void EnterProcess() {
  if (owner == 0) os::RegisterForkHandlers({BeforeFork, AfterForkInParent, AfterForkInChild});
  if (owner != 0 && owner != ::getpid()) ForgetParent(/*reset=*/false);
  owner = ::getpid();
}

// Unblocks those of `signals` that are held back for the inbox.
void LetIn(SignalInbox& inbox, uint64_t signals) {
  const uint64_t held_back = inbox.held_back.fetch_and(~signals, std::memory_order_relaxed) & signals;
  if (held_back == 0) return;
  const sigset_t set = SetOf(held_back);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Takes `signals` away from an inbox. Those that were left with the kernel come while the handler is still installed,
// which drops them: with the disposition from before they could end the process.
void Withdraw(SignalInbox& inbox, uint64_t signals) {
  const uint64_t withdrawn = inbox.subscribed.fetch_and(~signals, std::memory_order_seq_cst) & signals;
  {
    // A handler that interrupted this thread here could not finish while this waits for it.
    const os::ScopedAllSignalsBlocked blocked;
    while (handlers_running.load(std::memory_order_seq_cst) != 0) ::sched_yield();
  }
  LetIn(inbox, signals);
  for (auto& slot : inboxes) {  // another one of this thread may be what holds them back
    SignalInbox* other = slot.load();
    if (other != nullptr && other->owner_thread() == inbox.owner_thread()) LetIn(*other, withdrawn);
  }
  const std::lock_guard lock(mutex);
  for (int signo = 1; signo < NSIG; ++signo) {
    if ((withdrawn & Bit(signo)) != 0 && --subscribers[signo] == 0) Uninstall(signo, /*reset=*/false);
  }
}

}  // namespace

absl::Status AttachInbox(SignalInbox& inbox) {
  const std::lock_guard lock(mutex);
  EnterProcess();
  for (auto& slot : inboxes) {
    if (slot.load() != nullptr) continue;
    slot.store(&inbox);
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("SignalDispatcher: this process has ", kMaxInboxes, " of them, which is the limit"));
}

void DetachInbox(SignalInbox& inbox) {
  if (!inbox.IsOurs()) return;
  {
    const std::lock_guard lock(mutex);
    for (auto& slot : inboxes) {
      if (slot.load() == &inbox) slot.store(nullptr, std::memory_order_seq_cst);
    }
  }
  Withdraw(inbox, ~uint64_t{0});
}

absl::Status SubscribeInbox(SignalInbox& inbox, int signo) {
  const std::lock_guard lock(mutex);
  EnterProcess();
  if ((inbox.subscribed.load() & Bit(signo)) != 0) return absl::OkStatus();
  struct sigaction current;
  if (::sigaction(signo, nullptr, &current) != 0) {
    return os::ErrnoStatus(errno, "sigaction", absl::StrCat("signal ", signo));
  }
  inbox.subscribed.fetch_or(Bit(signo), std::memory_order_release);  // pairs with the load in OnSignal
  if (++subscribers[signo] == 1) Install(signo);
  return absl::OkStatus();
}

void UnsubscribeInbox(SignalInbox& inbox, int signo) { Withdraw(inbox, Bit(signo)); }

void LetHeldBackIn(SignalInbox& inbox) { LetIn(inbox, ~uint64_t{0}); }

}  // namespace ko
