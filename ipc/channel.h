#ifndef KO_IPC_CHANNEL_H_
#define KO_IPC_CHANNEL_H_

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ko/ipc/channel_core.h"
#include "ko/ipc/channel_options.h"
#include "ko/os/interrupt.h"
#include "ko/os/named_mapping.h"

namespace ko {

// What channels of values and of byte strings have in common.
class ChannelBase {
 public:
  // Ends sending: Send fails from now on. Receivers get what is left, and then FailedPrecondition. Everybody who sleeps in
  // a call is woken. May be called again.
  absl::Status Close() { return core_ == nullptr ? MovedFrom() : core_->Close(); }
  bool closed() const { return core_ != nullptr && core_->closed(); }

  // How many messages there are. Approximate while others are at work.
  size_t size() const { return core_ == nullptr ? 0 : core_->size(); }
  size_t capacity() const { return core_ == nullptr ? 0 : core_->capacity(); }

  // Readable while there may be something to receive, and when the channel is closed: for a loop of poll(2) and its kin,
  // which calls TryReceive until that is Unavailable. The channel owns it. Errors: FailedPrecondition where the channel was
  // not made pollable.
  absl::StatusOr<int> poll_fd() const {
    if (core_ == nullptr) return MovedFrom();
    return core_->poll_fd();
  }

  // Takes the name away from a named channel; processes that have it keep it. Errors: NotFound; PermissionDenied where it is
  // another user's.
  static absl::Status Unlink(std::string_view name) { return os::UnlinkNamedMapping(name); }

 protected:
  friend class ChannelTestPeer;
  explicit ChannelBase(std::unique_ptr<ChannelCore> core) : core_(std::move(core)) {}
  static absl::Status MovedFrom() { return absl::FailedPreconditionError("the channel has been moved from"); }

  std::unique_ptr<ChannelCore> core_;  // null when moved from
};

// A bounded queue of messages between threads and processes: any number of them send, any number receive, each message is
// received once. T is trivially copyable and means the same in another process (no pointers); or std::string, for strings
// of bytes of any length up to ChannelOptions::max_message_bytes.
//
//   absl::StatusOr<ko::Channel<Sample>> samples = ko::Channel<Sample>::Create();
//   if (!samples.ok()) return samples.status();
//   manager.Fork([&] {
//     while (absl::StatusOr<Sample> sample = samples->Receive(); sample.ok()) Plot(*sample);
//   });
//   absl::Status sent = samples->Send(Measure());
//
// An anonymous channel is shared with all processes that are forked from this one later, and leaves nothing behind. One
// with a name can be opened by any process of the same user, and stays until it is unlinked.
//
// Order: messages are received in the order in which their sending began; those of one thread in the order sent. Several
// receivers may finish in another order.
//
// Sending and receiving take a few nanoseconds where nobody has to wait. Who has to wait looks again for some microseconds,
// unless there is only one processor, and sleeps then. Nothing is polled.
//
// Threads: any number may call, of any process of one pid namespace. Not from fibers that move between threads.
//
// Fork: the child uses the same channel.
//
// Signals: calls go on after a signal (EINTR), see Interrupt; not to be called from a signal handler.
//
// Crash: SIGKILL at any instruction of a call leaves its message sent or not, received or not; it is never torn, and nobody
// else waits for the dead one or misses a wake-up. A receiver's message dies with it. A process that is stopped (SIGSTOP)
// while it sends delays the messages after its own; where it had sent, or received, alone for long, others that want to do
// the same wait for it, with their time-outs.
//
// Errors: as below; also from each call ResourceExhausted where there are more threads than `max_participants`,
// FailedPrecondition for a channel that was moved from and in a process made by a raw clone(2) without set_robust_list(2),
// and DataLoss where the shared memory has been overwritten.
template <class T>
class Channel : public ChannelBase {
  static_assert(
      std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>,
      "a Channel's messages are trivially copyable and have a meaning in other processes, or std::string");

 public:
  // Errors: InvalidArgument for sizes of 0 or beyond all reason, a bad name, and a named one that is pollable; AlreadyExists
  // for the name; ResourceExhausted without memory or file descriptors; Unimplemented on a kernel without futex_waitv(2).
  static absl::StatusOr<Channel> Create(const ChannelOptions& options = {}) {
    return Wrap(ChannelCore::Create(options, /*byte_strings=*/false, sizeof(T)));
  }
  // Errors: those of OpenNamedMapping; InvalidArgument for one of other messages; DataLoss for what is none.
  static absl::StatusOr<Channel> Open(std::string_view name) {
    return Wrap(ChannelCore::Open(name, /*byte_strings=*/false, sizeof(T)));
  }

  // Sleeps while the channel is full. Errors: DeadlineExceeded; Cancelled when `interrupt` has fired, also where there is
  // room; FailedPrecondition for a closed channel.
  absl::Status Send(const T& message, absl::Duration timeout = absl::InfiniteDuration(),
                    Interrupt interrupt = {}) {
    if (core_ == nullptr) return MovedFrom();
    if (!interrupt.fired() && core_->SendAlone(BytesOf(message), /*byte_strings=*/false))
      return absl::OkStatus();
    return core_->Send(BytesOf(message), timeout, interrupt);
  }
  // Errors: Unavailable where it is full, or after some milliseconds where another sender is stopped within a call;
  // FailedPrecondition for a closed channel.
  absl::Status TrySend(const T& message) {
    if (core_ == nullptr) return MovedFrom();
    if (core_->SendAlone(BytesOf(message), /*byte_strings=*/false)) return absl::OkStatus();
    return core_->TrySend(BytesOf(message));
  }

  // Sleeps while the channel is empty. Errors: DeadlineExceeded; Cancelled when `interrupt` has fired, also where there is
  // a message; FailedPrecondition when the channel is closed and empty.
  absl::StatusOr<T> Receive(absl::Duration timeout = absl::InfiniteDuration(), Interrupt interrupt = {}) {
    return Into([&](ChannelCore::Target target) { return core_->Receive(target, timeout, interrupt); },
                interrupt);
  }
  // Errors: Unavailable where it is empty, or as above; FailedPrecondition when it is closed and empty.
  absl::StatusOr<T> TryReceive() {
    return Into([&](ChannelCore::Target target) { return core_->TryReceive(target); });
  }

 private:
  using ChannelBase::ChannelBase;

  static absl::StatusOr<Channel> Wrap(absl::StatusOr<std::unique_ptr<ChannelCore>> core) {
    if (!core.ok()) return core.status();
    return Channel(*std::move(core));
  }
  static std::string_view BytesOf(const T& message) {
    return {reinterpret_cast<const char*>(&message), sizeof(T)};
  }
  template <class Operation>
  absl::StatusOr<T> Into(Operation operation, Interrupt interrupt = {}) {
    if (core_ == nullptr) return MovedFrom();
    std::array<char, sizeof(T)> message;
    if (!interrupt.fired() && core_->ReceiveAlone({.fixed = message.data()}, sizeof(T)))
      return std::bit_cast<T>(message);
    absl::Status status = operation(ChannelCore::Target{.fixed = message.data()});
    if (!status.ok()) return status;
    return std::bit_cast<T>(message);
  }
};

template <>
class Channel<std::string> : public ChannelBase {
 public:
  static absl::StatusOr<Channel> Create(const ChannelOptions& options = {}) {
    return Wrap(ChannelCore::Create(options, /*byte_strings=*/true, 0));
  }
  static absl::StatusOr<Channel> Open(std::string_view name) {
    return Wrap(ChannelCore::Open(name, /*byte_strings=*/true, 0));
  }

  // Beside the errors of any channel: InvalidArgument for a message that is longer than the channel's limit.
  absl::Status Send(std::string_view message, absl::Duration timeout = absl::InfiniteDuration(),
                    Interrupt interrupt = {}) {
    if (core_ == nullptr) return MovedFrom();
    if (!interrupt.fired() && core_->SendAlone(message, /*byte_strings=*/true)) return absl::OkStatus();
    return core_->Send(message, timeout, interrupt);
  }
  absl::Status TrySend(std::string_view message) {
    if (core_ == nullptr) return MovedFrom();
    if (core_->SendAlone(message, /*byte_strings=*/true)) return absl::OkStatus();
    return core_->TrySend(message);
  }

  absl::StatusOr<std::string> Receive(absl::Duration timeout = absl::InfiniteDuration(),
                                      Interrupt interrupt = {}) {
    return Into([&](ChannelCore::Target target) { return core_->Receive(target, timeout, interrupt); },
                interrupt);
  }
  absl::StatusOr<std::string> TryReceive() {
    return Into([&](ChannelCore::Target target) { return core_->TryReceive(target); });
  }

 private:
  using ChannelBase::ChannelBase;

  static absl::StatusOr<Channel> Wrap(absl::StatusOr<std::unique_ptr<ChannelCore>> core) {
    if (!core.ok()) return core.status();
    return Channel(*std::move(core));
  }
  template <class Operation>
  absl::StatusOr<std::string> Into(Operation operation, Interrupt interrupt = {}) {
    if (core_ == nullptr) return MovedFrom();
    std::string message;
    if (!interrupt.fired() && core_->ReceiveAlone({.bytes = &message}, 0)) return message;
    absl::Status status = operation(ChannelCore::Target{.bytes = &message});
    if (!status.ok()) return status;
    return message;
  }
};

}  // namespace ko

#endif  // KO_IPC_CHANNEL_H_
