#include "ko/signals/signal_router.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/queue_signal.h"
#include "ko/os/signal_mask.h"

namespace ko {
namespace {

uint64_t Bit(int signo) { return uint64_t{1} << (signo - 1); }

// What the handler reads. Constant-initialized, so that it is there before any constructor.
constinit std::atomic<SignalInbox*> inboxes[kMaxInboxes] = {};
constinit std::atomic<uint64_t> managed{0};  // the signals that have our handler
constinit std::atomic<int> handlers_running{0};

// The rest is guarded by this, which a fork takes too.
constinit std::mutex mutex;
constinit int subscribers[NSIG] = {};
constinit struct sigaction previous[NSIG] = {};
constinit pid_t owner = 0;  // the process that all of this is about; 0: none yet

// Keeps a signal with the kernel until its inbox has room again. On the inbox's own thread it, and the other managed ones,
// stay blocked when the handler returns; on another thread it is sent on to that one.
bool LeaveWithKernel(SignalInbox& inbox, pid_t thread, const siginfo_t& info, ucontext_t& context) {
  if (!os::QueueSignal(inbox.owner_thread(), info)) return false;
  if (thread != inbox.owner_thread()) return true;
  uint64_t blocked = 0;
  const uint64_t all = managed.load(std::memory_order_relaxed);
  for (int signo = 1; signo < NSIG; ++signo) {
    if ((all & Bit(signo)) == 0 || ::sigismember(&context.uc_sigmask, signo) == 1) continue;
    ::sigaddset(&context.uc_sigmask, signo);
    blocked |= Bit(signo);
  }
  inbox.held_back.fetch_or(blocked, std::memory_order_relaxed);  // read on this thread, in Dispatch
  return true;
}

// Async-signal-safe. All managed signals are blocked meanwhile, so it is not nested on a thread.
void OnSignal(int signo, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  // Pairs with the loop in DetachInbox: whoever sees the count at 0 after taking an inbox away knows that nobody uses it.
  handlers_running.fetch_add(1, std::memory_order_seq_cst);
  const pid_t thread = ::gettid();
  const auto takes_it = [signo](SignalInbox* inbox) {
    return inbox != nullptr && (inbox->subscribed.load(std::memory_order_acquire) & Bit(signo)) != 0;
  };

  bool left_with_kernel = false;
  for (auto& slot : inboxes) {
    SignalInbox* inbox = slot.load(std::memory_order_seq_cst);
    if (!takes_it(inbox) || !inbox->IsNearlyFull()) continue;
    left_with_kernel = LeaveWithKernel(*inbox, thread, *info, *static_cast<ucontext_t*>(context));
    if (left_with_kernel) break;
  }
  const SignalInfo copy = {signo, info->si_code, info->si_pid, info->si_uid, info->si_value.sival_int};
  for (auto& slot : inboxes) {
    if (left_with_kernel) break;
    SignalInbox* inbox = slot.load(std::memory_order_seq_cst);
    if (takes_it(inbox) && inbox->Push(copy)) inbox->Ring(thread == inbox->owner_thread());
  }
  handlers_running.fetch_sub(1, std::memory_order_seq_cst);
  errno = saved_errno;
}

void Install(int signo) {
  struct sigaction action = {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  ::sigaction(signo, &action, &previous[signo]);
  managed.fetch_or(Bit(signo), std::memory_order_relaxed);
}

void Uninstall(int signo) {
  managed.fetch_and(~Bit(signo), std::memory_order_relaxed);
  struct sigaction current;
  ::sigaction(signo, nullptr, &current);
  const bool is_ours = (current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == OnSignal;
  if (is_ours) ::sigaction(signo, &previous[signo], nullptr);
}

// In a forked child: what was the parent's is forgotten.
void ForgetParent() {
  for (int signo = 1; signo < NSIG; ++signo) {
    if (subscribers[signo] > 0) Uninstall(signo);
    subscribers[signo] = 0;
  }
  for (auto& slot : inboxes) {
    SignalInbox* inbox = slot.exchange(nullptr);
    if (inbox != nullptr) inbox->orphaned.store(true);
  }
  handlers_running.store(0);  // another thread's handler may have been running in the parent
  owner = ::getpid();
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

void AfterForkInParent() {
  const sigset_t mask = mask_before_fork;
  mutex.unlock();
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

void AfterForkInChild() {
  ForgetParent();
  AfterForkInParent();
}

// Also notices a child that was made without the C library's fork.
void EnterProcess() {
  if (owner == 0) ::pthread_atfork(BeforeFork, AfterForkInParent, AfterForkInChild);
  if (owner != 0 && owner != ::getpid()) ForgetParent();
  owner = ::getpid();
}

void Unsubscribe(SignalInbox& inbox, int signo) {
  if ((inbox.subscribed.fetch_and(~Bit(signo)) & Bit(signo)) == 0) return;
  if (--subscribers[signo] == 0) Uninstall(signo);
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
  if (inbox.orphaned.load()) return;
  // A handler that interrupted this thread between here and the end could not finish while this waits for it.
  const os::ScopedAllSignalsBlocked blocked;
  const std::lock_guard lock(mutex);
  for (int signo = 1; signo < NSIG; ++signo) Unsubscribe(inbox, signo);
  for (auto& slot : inboxes) {
    if (slot.load() == &inbox) slot.store(nullptr, std::memory_order_seq_cst);
  }
  while (handlers_running.load(std::memory_order_seq_cst) != 0) ::sched_yield();
}

absl::Status SubscribeInbox(SignalInbox& inbox, int signo) {
  const std::lock_guard lock(mutex);
  EnterProcess();
  if (inbox.orphaned.load()) return absl::FailedPreconditionError("SignalDispatcher: it is the parent's");
  if ((inbox.subscribed.load() & Bit(signo)) != 0) return absl::OkStatus();
  struct sigaction current;
  if (::sigaction(signo, nullptr, &current) != 0) {
    return os::ErrnoStatus(errno, "sigaction", absl::StrCat("signal ", signo));
  }
  inbox.subscribed.fetch_or(Bit(signo), std::memory_order_release);  // pairs with the load in OnSignal
  if (++subscribers[signo] == 1) Install(signo);
  return absl::OkStatus();
}

void UnsubscribeInbox(SignalInbox& inbox, int signo) {
  if (inbox.orphaned.load()) return;
  const std::lock_guard lock(mutex);
  Unsubscribe(inbox, signo);
}

}  // namespace ko
