#ifndef KO_SIGNALS_SIGNAL_DISPATCHER_H_
#define KO_SIGNALS_SIGNAL_DISPATCHER_H_

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/os/interrupt.h"
#include "ko/signals/signal_inbox.h"
#include "ko/signals/signal_info.h"

namespace ko {

// Signals as events: handlers run in Dispatch and Wait, on the caller's stack, where they may do anything: allocate, lock,
// fork, raise, register and unregister handlers, dispatch again.
//
//   absl::StatusOr<ko::SignalDispatcher> signals = ko::SignalDispatcher::Create();
//   if (!signals.ok()) return signals.status();
//   signals->On(SIGHUP, [&](const ko::SignalInfo&) { Reload(); }).IgnoreError();
//   while (running) signals->Wait(absl::InfiniteDuration()).IgnoreError();
//
// Several dispatchers in a process each see every signal that they have a handler for. No signal is lost: when a thousand
// wait to be dispatched, further ones are left with the kernel, which keeps the count and the values of real-time signals
// and merges equal ordinary ones, as ever. The signal mask is left alone: a blocked signal comes when it is unblocked.
//
// Threads: used by the thread that created it; signals may arrive on any. Fork: a child, however forked, starts with none
// of its parent's handlers and pending signals and with the dispositions from before; its copy of a dispatcher is of no
// use, a new one is. Signals: see above. Destruction restores the previous dispositions; not to be destroyed by one of its
// own handlers. Crash: none.
// Errors: FailedPrecondition for a moved-from one and in a forked child; others are listed below.
class SignalDispatcher {
 public:
  // Errors: ResourceExhausted without a descriptor to spare, and for more than 64 at a time.
  static absl::StatusOr<SignalDispatcher> Create();

  SignalDispatcher(SignalDispatcher&&) noexcept = default;
  SignalDispatcher& operator=(SignalDispatcher&& other) noexcept;
  ~SignalDispatcher();

  // Adds a handler; those of one signal run in the order in which they were added. Errors: InvalidArgument for SIGKILL,
  // SIGSTOP, the faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), which cannot wait, numbers that are no signal
  // of the program's, and an empty handler.
  absl::Status On(int signo, absl::AnyInvocable<void(const SignalInfo&)> handler);
  // Takes all handlers of a signal away; what is pending of it is dropped. Nothing happens where there are none.
  absl::Status Off(int signo);
  bool HasHandler(int signo) const;

  // Signals that wait to be dispatched here.
  size_t pending() const;

  // Runs the handlers of what is pending, and never blocks; how many signals there were. With none it is a few loads.
  absl::StatusOr<int> Dispatch();
  // Dispatches; where nothing is pending, sleeps until something is. 0 when `timeout` is over first.
  absl::StatusOr<int> Wait(absl::Duration timeout);

  // Readable while something is pending, for a loop of one's own; -1 for a moved-from one.
  int poll_fd() const;
  // Ends a blocking call while something is pending. It must not outlive the dispatcher.
  Interrupt interrupt() const;

 private:
  struct Handler {
    absl::AnyInvocable<void(const SignalInfo&)> run;
    bool removed = false;
  };

  explicit SignalDispatcher(std::unique_ptr<SignalInbox> inbox) : inbox_(std::move(inbox)) {}
  absl::Status CheckUsable() const;
  void RunHandlers(const SignalInfo& info);
  void Close();

  // Shared, because a handler may take itself away while it runs.
  std::map<int, std::vector<std::shared_ptr<Handler>>> handlers_;
  std::unique_ptr<SignalInbox> inbox_;  // does not move: signal handlers point to it
};

}  // namespace ko

#endif  // KO_SIGNALS_SIGNAL_DISPATCHER_H_
