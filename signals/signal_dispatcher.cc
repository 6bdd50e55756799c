#include "ko/signals/signal_dispatcher.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"
#include "ko/signals/signal_router.h"

namespace ko {
namespace {

// A fault that returned from its handler without a cure would come again at once, for ever.
bool CanBeHandledLater(int signo) {
  switch (signo) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
      return false;
    default:
      return (signo > 0 && signo < SIGSYS) || (signo >= SIGRTMIN && signo <= SIGRTMAX);
  }
}

}  // namespace

absl::StatusOr<SignalDispatcher> SignalDispatcher::Create() {
  absl::StatusOr<os::EventFd> bell = os::EventFd::Create();
  if (!bell.ok()) return bell.status();
  auto inbox = std::make_unique<SignalInbox>(*std::move(bell), ::gettid());
  if (absl::Status attached = AttachInbox(*inbox); !attached.ok()) return attached;
  return SignalDispatcher(std::move(inbox));
}

SignalDispatcher& SignalDispatcher::operator=(SignalDispatcher&& other) noexcept {
  if (this == &other) return *this;
  Close();
  handlers_ = std::move(other.handlers_);
  inbox_ = std::move(other.inbox_);
  return *this;
}

SignalDispatcher::~SignalDispatcher() { Close(); }

void SignalDispatcher::Close() {
  if (inbox_ == nullptr) return;
  DetachInbox(*inbox_);
  inbox_.reset();
}

absl::Status SignalDispatcher::CheckUsable() const {
  if (inbox_ == nullptr) return absl::FailedPreconditionError("SignalDispatcher: moved-from");
  if (!inbox_->IsOurs()) {
    return absl::FailedPreconditionError("SignalDispatcher: it is the parent's; a child is to make its own");
  }
  return absl::OkStatus();
}

absl::Status SignalDispatcher::On(int signo, absl::AnyInvocable<void(const SignalInfo&)> handler) {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  if (!CanBeHandledLater(signo)) {
    return absl::InvalidArgumentError(
        absl::StrCat("SignalDispatcher: signal ", signo, " cannot be handled as an event"));
  }
  if (handler == nullptr) return absl::InvalidArgumentError("SignalDispatcher: the handler is empty");
  if (absl::Status subscribed = SubscribeInbox(*inbox_, signo); !subscribed.ok()) return subscribed;
  handlers_[signo].push_back(std::make_shared<Handler>(Handler{std::move(handler)}));
  return absl::OkStatus();
}

absl::Status SignalDispatcher::Off(int signo) {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  const auto found = handlers_.find(signo);
  if (found == handlers_.end()) return absl::OkStatus();
  for (const auto& handler : found->second) handler->removed = true;  // also for a Dispatch that is going on
  handlers_.erase(found);
  inbox_->Drop(signo);
  UnsubscribeInbox(*inbox_, signo);
  return absl::OkStatus();
}

bool SignalDispatcher::HasHandler(int signo) const { return CheckUsable().ok() && handlers_.contains(signo); }

size_t SignalDispatcher::pending() const { return CheckUsable().ok() ? inbox_->pending() : 0; }

int SignalDispatcher::poll_fd() const { return inbox_ == nullptr ? -1 : inbox_->poll_fd(); }

Interrupt SignalDispatcher::interrupt() const {
  if (inbox_ == nullptr) return {};
  return {&inbox_->arrived(), inbox_->dispatched()};
}

absl::StatusOr<int> SignalDispatcher::Dispatch() {
  if (absl::Status usable = CheckUsable(); !usable.ok()) return usable;
  if (!inbox_->HasWork()) return 0;

  inbox_->Silence();
  // What comes while this runs is for the next time, or a flood would keep it here for ever.
  uint32_t left = inbox_->pending();
  const absl::Cleanup leave = [this] {
    if (!inbox_->IsOurs()) return;  // a handler forked, and this is the child: the bell is the parent's
    LetHeldBackIn(*inbox_);
    if (inbox_->pending() != 0) inbox_->RingAgain();  // a handler threw, and what follows was left undone
  };
  int count = 0;
  SignalInfo info;
  for (; left > 0 && inbox_->IsOurs() && inbox_->Pop(info); --left) {
    if (info.signo == 0) continue;
    ++count;
    RunHandlers(info);
  }
  return count;
}

void SignalDispatcher::RunHandlers(const SignalInfo& info) {
  const auto found = handlers_.find(info.signo);
  if (found == handlers_.end()) return;
  const std::vector<std::shared_ptr<Handler>> handlers = found->second;  // which may change meanwhile
  for (const auto& handler : handlers) {
    if (!inbox_->IsOurs()) return;  // the child of a handler that forked
    if (!handler->removed) handler->run(info);
  }
}

absl::StatusOr<int> SignalDispatcher::Wait(absl::Duration timeout) {
  const os::Deadline deadline = os::Deadline::After(timeout);
  for (;;) {
    absl::StatusOr<int> count = Dispatch();
    if (!count.ok() || *count > 0) return count;
    pollfd fd = {inbox_->poll_fd(), POLLIN, 0};
    timespec storage;
    const int ready = ::ppoll(&fd, 1, deadline.RemainingTimespec(storage), nullptr);
    if (ready == 0) return 0;
    if (ready < 0 && errno != EINTR) return os::ErrnoStatus(errno, "ppoll", "signals");
  }
}

}  // namespace ko
