#include "ko/process/fork_server_process.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "ko/os/child_code.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"
#include "ko/os/fd_message.h"
#include "ko/os/pidfd.h"
#include "ko/os/processors.h"
#include "ko/os/threads.h"
#include "ko/process/child_report.h"
#include "ko/process/flush_output.h"
#include "ko/process/forked_child.h"
#include "ko/process/report_file.h"

namespace ko {
namespace {

void BlockAllSignals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// So long a task that has just begun has the processors for itself before a blank child is made.
constexpr absl::Duration kPause = absl::Microseconds(200);

// Where tasks have to wait for their own births, they come faster than there is time for others. A task that does nothing
// takes about three times as long as its birth: who has been silent for longer than that is not in a loop of such.
constexpr int kPauseInBirths = 4;
constexpr absl::Duration kLongestPause = absl::Milliseconds(100);  // a birth may have been stopped for long

// As deep as an order and its task go at first.
KO_CHILD_CODE [[gnu::noinline]] void TouchStack() {
  volatile char deep[8 << 10];
  for (size_t i = 0; i < sizeof deep; i += 4096) deep[i] = 0;
}

KO_CHILD_CODE void TouchHeap() {
  for (size_t bytes = 16; bytes <= 1024; bytes *= 4) ::operator delete(::operator new(bytes));
}

// A new process pays for the first touch of each page. What an order and most tasks need is touched here; in the server,
// this looks up the functions that libraries call for the first time.
KO_CHILD_CODE [[gnu::noinline]] void WarmUp() {
  TouchStack();
  TouchHeap();
  ChildBody([] {})();
  std::chrono::steady_clock::now();
}

}  // namespace

absl::Status ForkServerProcess::Run(absl::FunctionRef<absl::Status()> init) {
  // A group of its own: a Ctrl-C that ends one task is for tasks, not for the server and its blank children.
  if (::setpgid(0, 0) != 0) return os::ErrnoStatus(errno, "setpgid");
  if (absl::Status status = WatchCaller(); !status.ok()) return status;
  if (absl::Status status = init(); !status.ok()) return status;
  if (os::HasOtherThreads()) {
    return absl::FailedPreconditionError(
        "the init of a fork server has started threads, which its children would not have");
  }
  FlushOutput();  // or each child would print it
  if (absl::Status status = KeepExitHandlersFromChildren(); !status.ok()) return status;
  BlockAllSignals();
  if (absl::Status status = BecomeServer(); !status.ok()) return status;
  // From here on the pidfd tells of the caller's end, and not the end of the one thread that started this server.
  if (::prctl(PR_SET_PDEATHSIG, 0) != 0) return os::ErrnoStatus(errno, "prctl(PR_SET_PDEATHSIG)");
  if (!Reply({.kind = ServerReply::kReady})) return absl::OkStatus();
  Role role = Role::kServer;
  while (role != Role::kLeaving) role = role == Role::kServer ? Serve() : AwaitOrder();
  return absl::OkStatus();
}

// What init has registered to run at the exit is for nobody. Once for all that are forked from here on.
absl::Status ForkServerProcess::KeepExitHandlersFromChildren() {
  const absl::StatusOr<os::SharedMapping> report = os::SharedMapping::Create(ChildReport::kBytes);
  if (!report.ok()) return report.status();
  ForkedChild(*static_cast<ChildReport*>(report->data())).LeaveParentsExitHandlersAlone();
  return absl::OkStatus();
}

absl::Status ForkServerProcess::WatchCaller() {
  caller_pidfd_ = os::OpenPidfd(ends_.caller);
  if (!caller_pidfd_.valid()) return os::ErrnoStatus(errno, "pidfd_open", "the caller");
  if (::getppid() != ends_.caller) return absl::AbortedError("the caller has died");
  return absl::OkStatus();
}

absl::Status ForkServerProcess::BecomeServer() {
  absl::StatusOr<os::SiblingForker> forker = os::SiblingForker::Create();
  if (!forker.ok()) return forker.status();
  forker_ = *forker;
  absl::StatusOr<os::SharedMapping> births = ReportFile::Map(ends_.reports.get(), ends_.birth_table_page);
  if (!births.ok()) return births.status();
  births_ = *std::move(births);
  births_.KeepFromNewChildren();
  static_cast<BirthTable*>(births_.data())->touched.fetch_add(1, std::memory_order_relaxed);
  WarmUp();
  return absl::OkStatus();
}

bool ForkServerProcess::Reply(const ServerReply& reply, absl::Span<const int> fds) {
  return os::SendMessage(ends_.socket.get(), {MessageBytes(reply)}, fds, /*block=*/true) == 0;
}

ForkServerProcess::Role ForkServerProcess::Serve() {
  const os::Readiness ready = os::AwaitReadable(ends_.socket.get(), caller_pidfd_.get(),
                                                spares_.empty() ? absl::InfiniteDuration() : pause_);
  if (ready.other) return Role::kLeaving;
  return ready.socket || spares_.empty() ? TakeRequest() : BearSpare();
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::TakeRequest() {
  os::ReceivedMessage message =
      os::ReceiveMessage(ends_.socket.get(), message_, sizeof message_, /*block=*/false);
  if (message.bytes < 0 && message.error_number == EAGAIN) return Role::kServer;
  const Role role = Answer(message);
  if (message.bytes > 0) std::memset(message_, 0, message.bytes);  // it is not for the children to come
  return role;
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::Answer(os::ReceivedMessage& message) {
  BirthRequest request;
  if (message.bytes < static_cast<ssize_t>(sizeof request)) return Role::kLeaving;
  std::memcpy(&request, message_, sizeof request);
  if (request.birth >= kMaxBirths) return Role::kLeaving;
  if (message.fds_missing) {
    return Refuse(request, absl::ResourceExhaustedError("no descriptors left in the server"));
  }
  if (request.kind != BirthRequest::kTask) {
    if (message.fds.size() != 1 || spares_.size() == kMaxBirths) return Role::kLeaving;
    if (request.kind == BirthRequest::kHeir) return Bear(request, std::move(message.fds[0]));
    spares_.push_back({request, std::move(message.fds[0])});
    pause_ = kPause;
    return Role::kServer;
  }
  const std::string_view order = std::string_view(message_, message.bytes).substr(sizeof request);
  return BearTask(request, order, std::move(message.fds));
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::BearTask(const BirthRequest& request,
                                                                  std::string_view order,
                                                                  os::ReceivedFds fds) {
  const absl::Duration start = os::MonotonicNow();
  // It is born in its group: its own steps come after, and no signal to the group can miss it. The server is there as long
  // with all signals blocked.
  if (::setpgid(0, request.group) != 0) {
    if (errno != EPERM) return Refuse(request, os::ErrnoStatus(errno, "setpgid"));
    return Refuse(request, absl::FailedPreconditionError(kSessionHasChanged));
  }
  const Role role = Bear(request, os::UniqueFd());
  if (role == Role::kBlank) return Obey(order, std::move(fds));
  ::setpgid(0, 0);
  pause_ = std::clamp(kPauseInBirths * (os::MonotonicNow() - start), kPause, kLongestPause);
  return role;
}

ForkServerProcess::Role ForkServerProcess::Refuse(const BirthRequest& request, const absl::Status& why) {
  ServerReply reply{.kind = ServerReply::kNotBorn, .birth = request.birth, .code = why.raw_code()};
  std::snprintf(reply.message, sizeof reply.message, "%.*s", static_cast<int>(why.message().size()),
                why.message().data());
  return Reply(reply) ? Role::kServer : Role::kLeaving;
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::BearSpare() {
  // For it to warm up where it is born, and not on another processor beside the next one's birth.
  pause_ = kPause;
  Spare spare = std::move(spares_.back());
  spares_.pop_back();
  return Bear(spare.request, std::move(spare.socket));
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::Bear(const BirthRequest& request,
                                                              os::UniqueFd socket) {
  auto& table = *static_cast<BirthTable*>(births_.data());
  std::variant<os::ForkedProcess, os::StartFailure> forked = forker_.Fork(table.pids[request.birth]);
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) {
    return Refuse(request, os::ErrnoStatus(failure->error_number, failure->stage));
  }
  auto& process = std::get<os::ForkedProcess>(forked);
  if (process.pid == 0) {
    BecomeBlank(std::move(socket), request);
    return Role::kBlank;
  }
  socket.reset();  // once the caller knows of the child, nobody else keeps its socket open
  const ServerReply reply{.kind = ServerReply::kBorn, .birth = request.birth, .pid = process.pid};
  const bool told = Reply(reply, {process.pidfd.get()});
  return told ? Role::kServer : Role::kLeaving;
}

KO_CHILD_CODE void ForkServerProcess::BecomeBlank(os::UniqueFd socket, const BirthRequest& request) {
  ends_.socket = std::move(socket);  // closes the server's
  births_ = {};
  spares_.clear();  // others' sockets
  absl::StatusOr<os::SharedMapping> report = ReportFile::Map(ends_.reports.get(), request.report_page);
  if (!report.ok()) ::_exit(127);
  processor_ = request.processor;
  report_ = *std::move(report);
  warm_ = false;
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::AwaitOrder() {
  // What an order needs is touched while nobody waits for it.
  const os::Readiness ready = os::AwaitReadable(ends_.socket.get(), caller_pidfd_.get(),
                                                warm_ ? absl::InfiniteDuration() : absl::ZeroDuration());
  if (!ready.socket && !ready.other && !std::exchange(warm_, true)) {
    WarmUp();
    std::memset(message_, 0, sizeof(BlankOrder));
    os::MoveToProcessor(processor_);
  }
  if (!ready.socket) return ready.other ? Role::kLeaving : Role::kBlank;
  os::ReceivedMessage message =
      os::ReceiveMessage(ends_.socket.get(), message_, sizeof message_, /*block=*/false);
  if (message.bytes < 0 && message.error_number == EAGAIN) return Role::kBlank;
  // The caller takes it for the task already.
  const auto fail = [&](const absl::Status& why) {
    static_cast<ChildReport*>(report_.data())->BodyFailed(why);
    ::_exit(1);
  };
  if (message.bytes < 0) fail(os::ErrnoStatus(message.error_number, "recvmsg", "a child of the fork server"));
  if (message.fds_missing)
    fail(absl::ResourceExhaustedError("no descriptors left in a child of the fork server"));
  return Obey(std::string_view(message_, message.bytes), std::move(message.fds));
}

KO_CHILD_CODE ForkServerProcess::Role ForkServerProcess::Obey(std::string_view bytes, os::ReceivedFds fds) {
  BlankOrder order;
  if (bytes.size() < sizeof order) return Role::kLeaving;
  std::memcpy(&order, bytes.data(), sizeof order);
  if (order.kind == BlankOrder::kServe) return BecomeServer().ok() ? Role::kServer : Role::kLeaving;
  RunTask(order, bytes.substr(sizeof order), std::move(fds));
}

KO_CHILD_CODE void ForkServerProcess::RunTask(const BlankOrder& order, std::string_view arguments,
                                              os::ReceivedFds fds) {
  const pid_t caller = ends_.caller;
  auto& report = *static_cast<ChildReport*>(report_.data());
  os::SharedMapping long_arguments;
  if (order.arguments_in_file != 0 && !fds.empty()) {
    absl::StatusOr<os::SharedMapping> mapping =
        os::SharedMapping::OfFile(fds.back().get(), order.arguments_bytes);
    if (!mapping.ok()) {
      report.BodyFailed(mapping.status());
      ::_exit(1);
    }
    long_arguments = *std::move(mapping);
    arguments = std::string_view(static_cast<const char*>(long_arguments.data()), long_arguments.bytes());
    fds.pop_back();
  }
  std::vector<int> numbers;
  for (os::UniqueFd& fd : fds) numbers.push_back(fd.release());
  // What is the server's is not the task's.
  ends_ = {};
  caller_pidfd_.reset();

  // By one reference, or it would need memory.
  const auto call = [&] { return order.function(arguments, numbers); };
  ForkedChild::Task task{.body = [&call] { return call(); },
                         .die_with_parent = order.die_with_parent != 0,
                         .parent = caller,
                         .mask = order.mask};
  ForkedChild(report).Live(task);
}

}  // namespace ko
