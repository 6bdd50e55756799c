#include "ko/process/fork_server_link.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ko/os/errno_status.h"
#include "ko/os/fd_message.h"
#include "ko/os/pidfd.h"
#include "ko/os/status_code.h"
#include "ko/process/child_maker.h"
#include "ko/process/fork.h"
#include "ko/process/fork_server_process.h"

namespace ko {
namespace {

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

std::optional<BlankChild> ForkServerLink::TakeSpare() {
  // First of all, for the task to begin at once: what the server has to say can wait for Refill.
  if (spares_.empty() && open_blanks_ > 0) TakeReplies();
  if (spares_.empty()) return std::nullopt;
  BlankChild blank = std::move(spares_.front());
  spares_.pop_front();
  return blank;
}

absl::StatusOr<Child> ForkServerLink::Bear(const BlankOrder& order, std::string_view arguments,
                                           absl::Span<const int> fds) {
  for (;;) {
    if (absl::Status reserved = ReserveDescriptor(); !reserved.ok()) return reserved;
    const absl::StatusOr<uint32_t> birth = TakePlace(BirthRequest::kTask);
    if (!birth.ok()) return birth.status();
    task_.reset();
    const BirthRequest request = RequestFor(*birth);
    const int error = os::SendMessage(
        server_.socket.get(), {MessageBytes(request), MessageBytes(order), arguments}, fds, /*block=*/true);
    if (error != 0) {
      births_[*birth].reset();
      if (error != EPIPE && error != ECONNRESET) return NotHandedOver({"sendmsg", error});
    }
    bool lives = error == 0;
    while (lives && !task_.has_value()) lives = AwaitReply();
    const bool replaced = lives || ReplaceServer();
    if (task_.has_value()) return *std::exchange(task_, std::nullopt);
    if (!replaced) return absl::AbortedError("ForkServer: the server has died");
  }
}

os::StartFailure ForkServerLink::HandOver(const os::UniqueFd& socket, const BlankOrder& order,
                                          std::string_view arguments, absl::Span<const int> fds) {
  return {"sendmsg", os::SendMessage(socket.get(), {MessageBytes(order), arguments}, fds, /*block=*/true)};
}

absl::Status ForkServerLink::NotHandedOver(const os::StartFailure& failure) {
  switch (failure.error_number) {
    case EPERM:
      return absl::FailedPreconditionError(absl::StrCat("ForkServer: ", kSessionHasChanged));
    case EBADF:
      return absl::InvalidArgumentError("ForkServer: an argument is no open descriptor [EBADF]");
    default:
      return os::ErrnoStatus(failure.error_number, failure.stage, "a child of the fork server");
  }
}

void ForkServerLink::Refill(size_t wanted, int processor) {
  const auto blanks = [this] { return heir_.has_value() + spares_.size() + open_blanks_; };
  const bool has_heir = heir_.has_value() || open_blanks_ > 0;
  const bool lives =
      !os::HasEnded(server_.child.pidfd());  // while there is a spare one that can take its place
  if (lives && has_heir && blanks() >= 1 + (wanted + 1) / 2) return;
  if (!(lives && TakeReplies()) && !ReplaceServer()) return;  // Bear finds that out, too
  while (blanks() < 1 + wanted && RequestBlank(processor)) {
  }
}

bool ForkServerLink::RequestBlank(int processor) {
  absl::StatusOr<std::pair<os::UniqueFd, os::UniqueFd>> sockets = os::MessageSocketPair();
  if (!sockets.ok()) return false;
  const bool is_heir = !heir_.has_value() && !IsHeirOnTheWay();
  const absl::StatusOr<uint32_t> birth = TakePlace(is_heir ? BirthRequest::kHeir : BirthRequest::kSpare);
  if (!birth.ok()) return false;
  BirthRequest request = RequestFor(*birth);
  if (!is_heir) request.processor = processor;
  if (os::SendMessage(server_.socket.get(), {MessageBytes(request)}, {sockets->second.get()},
                      /*block=*/true) != 0) {
    births_[*birth].reset();
    return false;
  }
  births_[*birth]->socket = std::move(sockets->first);
  ++open_blanks_;
  return true;
}

bool ForkServerLink::IsHeirOnTheWay() const {
  return absl::c_any_of(births_, [](const std::optional<Birth>& birth) {
    return birth.has_value() && birth->kind == BirthRequest::kHeir;
  });
}

absl::Status ForkServerLink::ReserveDescriptor() {
  if (reserve_.valid()) return absl::OkStatus();
  reserve_ = os::UniqueFd(::fcntl(reports_->descriptor(), F_DUPFD_CLOEXEC, 3));
  return reserve_.valid() ? absl::OkStatus() : os::ErrnoStatus(errno, "fcntl(F_DUPFD_CLOEXEC)");
}

absl::StatusOr<uint32_t> ForkServerLink::TakePlace(BirthRequest::Kind kind) {
  for (uint32_t birth = 0; birth < kMaxBirths; ++birth) {
    if (births_[birth].has_value()) continue;
    absl::StatusOr<ReportPage> page = ReportPage::Take(reports_);
    if (!page.ok()) return page.status();
    table().pids[birth].store(0, std::memory_order_relaxed);
    births_[birth] = Birth{*std::move(page), kind, os::UniqueFd()};
    return birth;
  }
  return absl::ResourceExhaustedError("ForkServer: too many children are being made");
}

BirthRequest ForkServerLink::RequestFor(uint32_t birth) const {
  return {birth, births_[birth]->page.index(), births_[birth]->kind, ::getpgrp()};
}

bool ForkServerLink::AwaitReply() {
  const os::Readiness ready =
      os::AwaitReadable(server_.socket.get(), server_.child.pidfd(), absl::InfiniteDuration());
  return !ready.other && TakeReplies();
}

bool ForkServerLink::TakeReplies() {
  for (;;) {
    ServerReply reply;
    os::ReceivedMessage message =
        os::ReceiveMessage(server_.socket.get(), &reply, sizeof reply, /*block=*/false);
    if (message.bytes < 0 && message.error_number == EAGAIN) return true;
    if (message.bytes != sizeof reply || !TakeReply(reply, std::move(message.fds))) return false;
  }
}

bool ForkServerLink::TakeReply(const ServerReply& reply, os::ReceivedFds fds) {
  if (reply.birth >= kMaxBirths || !births_[reply.birth].has_value()) return false;
  auto [page, kind, socket] = *std::exchange(births_[reply.birth], std::nullopt);
  const bool is_task = kind == BirthRequest::kTask;
  if (!is_task) --open_blanks_;
  if (reply.kind != ServerReply::kBorn) {
    // Of a spare one nothing is lost, and a server that cannot make it says so again.
    if (is_task) task_ = RefusalIn(reply);
    return true;
  }
  if (is_task) {
    return TakeTask(reply.pid, fds.empty() ? os::UniqueFd() : std::move(fds[0]), std::move(page));
  }
  if (fds.empty()) {
    os::EndChild(reply.pid);
    return true;
  }
  // The server's word alone must not have anybody else signalled.
  if (!os::IsOwnChild(fds[0].get())) return false;
  Child child = MakeChild(reply.pid, std::move(fds[0]), std::move(page));
  BlankChild blank{std::move(child), std::move(socket)};
  if (!heir_.has_value()) {
    heir_ = std::move(blank);
  } else {
    spares_.push_back(std::move(blank));
  }
  return true;
}

Child ForkServerLink::MakeChild(pid_t pid, os::UniqueFd pidfd, ReportPage page) {
  return ChildMaker::Make(pid, std::move(pidfd), [page = std::move(page)](ExitStatus status) mutable {
    return page.Complete(std::move(status));
  });
}

bool ForkServerLink::TakeTask(pid_t pid, os::UniqueFd pidfd, ReportPage page) {
  if (!pidfd.valid()) {
    reserve_.reset();
    pidfd = os::OpenPidfd(pid);
  }
  if (!pidfd.valid()) {
    const int error = errno;
    if (error == ESRCH) {
      task_ = absl::UnknownError("ForkServer: the task has ended, and somebody else has reaped it");
    } else {
      os::EndChild(pid);
      task_ = os::ErrnoStatus(error, "pidfd_open", "a task of the fork server, which has been ended");
    }
    page.Complete(ExitStatus::Unknown());
    return true;
  }
  // One that has ended may have been reaped by somebody else, and nothing can happen to it any more.
  const bool is_harmless = os::IsOwnChild(pidfd.get()) || os::HasEnded(pidfd.get());
  if (!is_harmless) {
    task_ = absl::InternalError("ForkServer: the server has named a stranger as its child");
    page.Complete(ExitStatus::Unknown());
    return false;
  }
  task_ = MakeChild(pid, std::move(pidfd), std::move(page));
  return true;
}

// Ends it, if it has not ended, and takes in all that it has said and done.
void ForkServerLink::BuryServer() {
  server_.child.Kill(SIGKILL).IgnoreError();
  server_.child.Wait().IgnoreError();
  TakeReplies();
  // What it made and could not tell.
  for (uint32_t i = 0; i < kMaxBirths; ++i) {
    if (!births_[i].has_value()) continue;
    auto [page, kind, socket] = *std::exchange(births_[i], std::nullopt);
    const pid_t pid = table().pids[i].load(std::memory_order_relaxed);
    if (pid <= 0) continue;
    if (kind == BirthRequest::kTask) {
      TakeTask(pid, os::UniqueFd(), std::move(page));
    } else {
      os::EndChild(pid);
    }
  }
  open_blanks_ = 0;
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
    if (os::SendMessage(server_.socket.get(), {MessageBytes(order)}, {}, /*block=*/true) == 0) return true;
  }
  return false;
}

}  // namespace ko
