#include "ko/process/fork_server_link.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/os/errno_status.h"
#include "ko/os/fd_message.h"
#include "ko/os/pidfd.h"
#include "ko/os/status_code.h"
#include "ko/process/child_maker.h"
#include "ko/process/child_report.h"
#include "ko/process/fork.h"
#include "ko/process/fork_server_process.h"

namespace ko {
namespace {

template <class Message>
std::string_view BytesOf(const Message& message) {
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

// Why it made no child. Its memory may be in disorder, so it need not make sense.
absl::Status RefusalIn(ServerReply reply) {
  reply.message[sizeof reply.message - 1] = '\0';
  const std::optional<absl::StatusCode> code = os::StatusCodeFrom(static_cast<uint32_t>(reply.code));
  if (!code.has_value() || code == absl::StatusCode::kOk) {
    return absl::InternalError("ForkServer: the server's answer makes no sense");
  }
  return absl::Status(*code, absl::StrCat("ForkServer: ", reply.message));
}

// Waits until the new server says that it is ready.
absl::Status AwaitReady(BlankChild& server) {
  ServerReply reply;
  while (!os::AwaitReadable(server.socket.get(), server.child.pidfd(), absl::InfiniteDuration()).other) {
    const os::ReceivedMessage message =
        os::ReceiveMessage(server.socket.get(), &reply, sizeof reply, /*block=*/false);
    if (message.bytes == sizeof reply && reply.kind == ServerReply::kReady) return absl::OkStatus();
    if (message.bytes >= 0) break;
  }
  // It may have died after it was ready: that is noticed, and made good, when it is needed.
  if (os::ReceiveMessage(server.socket.get(), &reply, sizeof reply, /*block=*/false).bytes == sizeof reply) {
    return absl::OkStatus();
  }
  const absl::StatusOr<ExitStatus> status = server.child.Wait();
  if (!status.ok()) return status.status();
  const absl::Status why = status->ToStatus();
  if (why.ok()) return absl::AbortedError("ForkServer: the server left before it was ready");
  return absl::Status(why.code(), absl::StrCat("ForkServer: the server's start: ", why.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ForkServerLink>> ForkServerLink::Start(std::shared_ptr<ReportFile> reports,
                                                                      absl::FunctionRef<absl::Status()> init,
                                                                      bool allow_threads) {
  absl::StatusOr<ReportPage> page = ReportPage::Take(reports);
  if (!page.ok()) return page.status();
  absl::StatusOr<os::SharedMapping> table = ReportFile::Map(reports->descriptor(), page->index());
  if (!table.ok()) return table.status();
  table->KeepFromNewChildren();
  std::memset(table->data(), 0, sizeof(BirthTable));
  absl::StatusOr<std::pair<os::UniqueFd, os::UniqueFd>> sockets = os::MessageSocketPair();
  if (!sockets.ok()) return sockets.status();
  auto& [ours, servers] = *sockets;

  os::LoadedCode code = os::LoadedCode::Now();  // before the fork: all that it names is in the server
  const pid_t caller = ::getpid();
  const auto serve = [&]() -> absl::Status {
    ours.reset();
    ForkServerProcess process(
        {caller, std::move(servers), os::UniqueFd(reports->descriptor()), page->index()});
    return process.Run(init);
  };
  absl::StatusOr<Child> child = Fork(serve, {.allow_threads = allow_threads, .die_with_parent = true});
  if (!child.ok()) return child.status();
  servers.reset();
  BlankChild server{*std::move(child), std::move(ours)};
  if (absl::Status ready = AwaitReady(server); !ready.ok()) return ready;
  return std::unique_ptr<ForkServerLink>(new ForkServerLink(
      std::move(server), std::move(code), std::move(reports), *std::move(page), *std::move(table)));
}

ForkServerLink::ForkServerLink(BlankChild server, os::LoadedCode code, std::shared_ptr<ReportFile> reports,
                               ReportPage table_page, os::SharedMapping table)
    : code_(std::move(code)),
      reports_(std::move(reports)),
      table_page_(std::move(table_page)),
      table_(std::move(table)),
      server_(std::move(server)) {}

ForkServerLink::~ForkServerLink() {
  if (!server_.child.Kill(SIGKILL).ok()) return;  // a copy in a forked child
  BuryServer();
}

absl::StatusOr<BlankChild> ForkServerLink::Take() {
  bool asked = false, wait = false;
  for (;;) {
    // First of all, for the task to begin at once: what the server has to say can wait for Refill.
    if (!spares_.empty()) {
      BlankChild blank = std::move(spares_.front());
      spares_.pop_front();
      return blank;
    }
    if (!TakeReplies(wait)) {
      if (!ReplaceServer()) return absl::AbortedError("ForkServer: the server has died");
      asked = wait = false;
      continue;
    }
    if (!spares_.empty()) continue;
    wait = open_births_ > 0;
    if (wait) {
      Hurry();
      continue;
    }
    if (asked && !refusal_.ok()) return std::exchange(refusal_, absl::OkStatus());
    refusal_ = absl::OkStatus();
    asked = true;
    wait = Ask(BirthRequest::kAtOnce);
  }
}

void ForkServerLink::Refill(size_t wanted) {
  if (!TakeReplies(/*wait=*/false) && !ReplaceServer()) return;  // Take finds that out, too
  while (heir_.has_value() + spares_.size() + open_births_ < 1 + wanted && Ask(BirthRequest::kSoon)) continue;
}

// False where that cannot be: `refusal_` says why, or the server has died.
bool ForkServerLink::Ask(BirthRequest::Kind kind) {
  for (uint32_t i = 0; i < kMaxBirths; ++i) {
    if (births_[i].has_value()) continue;
    absl::StatusOr<ReportPage> page = ReportPage::Take(reports_);
    if (!page.ok()) {
      refusal_ = page.status();
      return false;
    }
    table().pids[i].store(0, std::memory_order_relaxed);
    const BirthRequest request{i, page->index(), kind};
    const int error = os::SendMessage(server_.socket.get(), {BytesOf(request)}, {}, /*block=*/true);
    if (error != 0) {
      refusal_ = os::ErrnoStatus(error, "sendmsg", "the fork server");
      return false;
    }
    births_[i] = *std::move(page);
    ++open_births_;
    unhurried_ = kind == BirthRequest::kSoon;
    return true;
  }
  return false;
}

void ForkServerLink::Hurry() {
  if (!std::exchange(unhurried_, false)) return;
  const BirthRequest request{.kind = BirthRequest::kHurry};
  os::SendMessage(server_.socket.get(), {BytesOf(request)}, {},
                  /*block=*/true);  // a death is noticed elsewhere
}

bool ForkServerLink::TakeReplies(bool wait) {
  const os::Readiness ready = os::AwaitReadable(server_.socket.get(), server_.child.pidfd(),
                                                wait ? absl::InfiniteDuration() : absl::ZeroDuration());
  if (ready.other) return false;
  return !ready.socket || TakeReply();
}

bool ForkServerLink::TakeReply() {
  ServerReply reply;
  os::ReceivedMessage message =
      os::ReceiveMessage(server_.socket.get(), &reply, sizeof reply, /*block=*/false);
  if (message.bytes < 0) return message.error_number == EAGAIN;
  if (message.bytes != sizeof reply || reply.birth >= kMaxBirths || !births_[reply.birth].has_value())
    return false;
  ReportPage page = *std::exchange(births_[reply.birth], std::nullopt);
  --open_births_;
  if (reply.kind != ServerReply::kBorn) {
    refusal_ = RefusalIn(reply);
    return true;
  }
  if (message.fds.empty()) {
    os::EndChild(reply.pid);
  } else {
    // The server's word alone must not have anybody else signalled.
    if (!os::IsOwnChild(message.fds[0].get())) return false;
    Child child = ChildMaker::Make(
        reply.pid, std::move(message.fds[0]),
        [page = std::move(page)](ExitStatus status) mutable { return page.Complete(std::move(status)); });
    if (message.fds.size() == 2) {
      BlankChild blank{std::move(child), std::move(message.fds[1])};
      if (!heir_.has_value()) {
        heir_ = std::move(blank);
      } else {
        spares_.push_back(std::move(blank));
      }
      return true;
    }
  }
  refusal_ = absl::ResourceExhaustedError("ForkServer: no descriptors left for a child");
  return true;
}

// Ends it, if it has not ended, and takes in all that it has said and done.
void ForkServerLink::BuryServer() {
  server_.child.Kill(SIGKILL).IgnoreError();
  server_.child.Wait().IgnoreError();
  while (open_births_ > 0 &&
         os::AwaitReadable(server_.socket.get(), server_.child.pidfd(), absl::ZeroDuration()).socket &&
         TakeReply()) {
  }
  // What it made and could not tell.
  for (uint32_t i = 0; i < kMaxBirths; ++i) {
    if (!births_[i].has_value()) continue;
    const pid_t pid = table().pids[i].load(std::memory_order_relaxed);
    if (pid > 0) os::EndChild(pid);
    births_[i].reset();
  }
  open_births_ = 0;
}

// By a blank child, which is all that the server was. False where there is none.
bool ForkServerLink::ReplaceServer() {
  BuryServer();
  BlankOrder order;
  order.kind = BlankOrder::kServe;
  while (heir_.has_value() || !spares_.empty()) {
    if (!heir_.has_value()) {
      heir_ = std::move(spares_.front());
      spares_.pop_front();
    }
    server_ = *std::exchange(heir_, std::nullopt);
    if (os::SendMessage(server_.socket.get(), {BytesOf(order)}, {}, /*block=*/true) == 0) return true;
  }
  return false;
}

}  // namespace ko
