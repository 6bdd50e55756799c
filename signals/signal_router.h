#ifndef KO_SIGNALS_SIGNAL_ROUTER_H_
#define KO_SIGNALS_SIGNAL_ROUTER_H_

#include "absl/status/status.h"
#include "ko/signals/signal_inbox.h"

namespace ko {

// The process-wide part: one signal handler, which copies each signal into the inboxes that subscribed to it. A signal's
// handler is installed for its first subscriber, and the previous disposition comes back after its last.
//
// Threads: any. Fork: a forked child has no inboxes, and the dispositions from before. Signals: a managed signal's handler
// is not interrupted by another managed signal. Crash: none.
//
// Errors: ResourceExhausted for more than kMaxInboxes at a time.
inline constexpr int kMaxInboxes = 64;

absl::Status AttachInbox(SignalInbox& inbox);
// Nothing points to the inbox afterwards, and no handler is still writing to it; what was held back for it is dropped.
void DetachInbox(SignalInbox& inbox);

// What sigaction(2) lists. Twice is as good as once.
absl::Status SubscribeInbox(SignalInbox& inbox, int signo);
void UnsubscribeInbox(SignalInbox& inbox, int signo);

// Lets signals in that the handler keeps blocked on this thread, the inbox's own, since that was nearly full.
void LetHeldBackIn(SignalInbox& inbox);

}  // namespace ko

#endif  // KO_SIGNALS_SIGNAL_ROUTER_H_
