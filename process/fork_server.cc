#include "ko/process/fork_server.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/fd_message.h"
#include "ko/os/process_mark.h"
#include "ko/os/start_failure.h"
#include "ko/os/unique_fd.h"
#include "ko/process/fork_server_link.h"
#include "ko/process/report_file.h"

namespace ko {
namespace {

constexpr int kMaxSpares = 32;

// How many servers and children may die under one call before it gives up: something kills them as they come.
constexpr int kMaxDeaths = 16;

absl::StatusOr<os::UniqueFd> FileInMemory(std::string_view bytes) {
  os::UniqueFd fd(::memfd_create("ko-arguments", MFD_CLOEXEC));
  if (!fd.valid()) return os::ErrnoStatus(errno, "memfd_create", "ko-arguments");
  while (!bytes.empty()) {
    const ssize_t written = os::RetryEintr([&] { return ::write(fd.get(), bytes.data(), bytes.size()); });
    if (written < 0)
      return os::ErrnoStatus(errno, "write", absl::StrCat(bytes.size(), " bytes of arguments"));
    bytes.remove_prefix(written);
  }
  return fd;
}

}  // namespace

class ForkServer::Impl {
 public:
  static absl::StatusOr<std::unique_ptr<Impl>> Start(ForkServerOptions options) {
    if (options.spares < 0 || options.spares > kMaxSpares) {
      return absl::InvalidArgumentError(
          absl::StrCat("ForkServer: ", options.spares, " spares; 0 to ", kMaxSpares, " are possible"));
    }
    absl::StatusOr<std::shared_ptr<ReportFile>> reports = ReportFile::Create();
    if (!reports.ok()) return reports.status();
    std::unique_ptr<Impl> impl(new Impl(std::move(options), *std::move(reports)));
    if (absl::Status started = impl->StartServer(); !started.ok()) return started;
    return impl;
  }

  absl::Status Refresh() {
    if (absl::Status owner = CheckOwner(); !owner.ok()) return owner;
    const std::lock_guard lock(mutex_);
    return StartServer();
  }

  pid_t pid() const {
    if (!CheckOwner().ok()) return 0;
    const std::lock_guard lock(mutex_);
    return link_ != nullptr ? link_->server_pid() : 0;
  }

  absl::StatusOr<Child> Fork(const BlankOrder& order, std::string_view arguments, absl::Span<const int> fds) {
    if (absl::Status owner = CheckOwner(); !owner.ok()) return owner;
    for (int deaths = 0; deaths < kMaxDeaths; ++deaths) {
      absl::StatusOr<std::variant<BlankChild, Child>> taken = Take(order, arguments, fds);
      if (!taken.ok()) return taken.status();
      if (auto* task = std::get_if<Child>(&*taken)) {
        Refill();
        return std::move(*task);
      }
      auto& blank = std::get<BlankChild>(*taken);
      const os::StartFailure failure = HandOver(blank, order, arguments, fds);
      const int error = failure.error_number;
      if (error == 0) {
        if (options_.spares_near_caller) ::sched_yield();
        Refill();
        return std::move(blank.child);
      }
      if (error == EPIPE || error == ECONNRESET || error == ESRCH)
        continue;  // it has died, without having run anything
      // The child is ended with that: it may have changed its group already.
      return ForkServerLink::NotHandedOver(failure);
    }
    return absl::UnavailableError(
        absl::StrCat("ForkServer: ", kMaxDeaths, " children died before they had run anything"));
  }

 private:
  Impl(ForkServerOptions options, std::shared_ptr<ReportFile> reports)
      : options_(std::move(options)), reports_(std::move(reports)) {}

  absl::Status CheckOwner() const {
    if (process_mark_ == os::ProcessMark()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "ForkServer: it belongs to the process that started it, this is a fork of that");
  }

  // With the lock held.
  absl::Status StartServer() {
    user_ = ::geteuid();
    group_ = ::getegid();
    const auto init = [this]() -> absl::Status {
      link_ = nullptr;  // in the server: what it has a copy of
      return options_.init != nullptr ? options_.init() : absl::OkStatus();
    };
    absl::StatusOr<std::unique_ptr<ForkServerLink>> link =
        ForkServerLink::Start(reports_, init, options_.allow_threads);
    if (!link.ok()) return link.status();
    link_ = *std::move(link);
    RefillLocked();
    return absl::OkStatus();
  }

  // A spare, or a child that runs the order already.
  absl::StatusOr<std::variant<BlankChild, Child>> Take(const BlankOrder& order, std::string_view arguments,
                                                       absl::Span<const int> fds) {
    const std::lock_guard lock(mutex_);
    for (int deaths = 0; deaths < kMaxDeaths; ++deaths) {
      if (absl::Status same = CheckUnchanged(order.function); !same.ok()) return same;
      if (std::optional<BlankChild> spare = link_->TakeSpare(); spare.has_value()) return *std::move(spare);
      absl::StatusOr<Child> task = link_->Bear(order, arguments, fds);
      if (task.ok()) return *std::move(task);
      if (!absl::IsAborted(task.status())) return task.status();
      if (absl::Status started = StartServer(); !started.ok()) {
        return absl::Status(started.code(),
                            absl::StrCat("ForkServer: the server and the children that could take its place "
                                         "have died; to start another: ",
                                         started.message()));
      }
    }
    return absl::UnavailableError(
        absl::StrCat("ForkServer: ", kMaxDeaths, " servers died one after the other"));
  }

  // Whether a child would be what the caller takes it for.
  absl::Status CheckUnchanged(PackedFunction function) const {
    if (::geteuid() != user_ || ::getegid() != group_) {
      return absl::FailedPreconditionError(
          "ForkServer: this process has changed its user or group since the server was started; Refresh it");
    }
    if (!link_->code().Has(reinterpret_cast<const void*>(function))) {
      return absl::FailedPreconditionError(
          "ForkServer: the function is in a library that was loaded after the server was started; Refresh "
          "it");
    }
    return absl::OkStatus();
  }

  void Refill() {
    const std::lock_guard lock(mutex_);
    RefillLocked();
  }

  // With the lock held.
  void RefillLocked() { link_->Refill(options_.spares, options_.spares_near_caller ? ::sched_getcpu() : -1); }

  // The step that failed; one with errno 0 where none has.
  static os::StartFailure HandOver(BlankChild& blank, const BlankOrder& order, std::string_view arguments,
                                   absl::Span<const int> fds) {
    // It waits in the server's group. From here on signals to the caller's are for it too.
    if (::setpgid(blank.child.pid(), ::getpgrp()) != 0) return {"setpgid", errno};
    return ForkServerLink::HandOver(blank.socket, order, arguments, fds);
  }

  ForkServerOptions options_;
  const std::shared_ptr<ReportFile> reports_;
  const uint64_t process_mark_ = os::ProcessMark();
  mutable std::mutex mutex_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  std::unique_ptr<ForkServerLink> link_;
};

ForkServer::ForkServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ForkServer::ForkServer(ForkServer&&) noexcept = default;
ForkServer& ForkServer::operator=(ForkServer&&) noexcept = default;
ForkServer::~ForkServer() = default;

absl::StatusOr<ForkServer> ForkServer::Start(ForkServerOptions options) {
  absl::StatusOr<std::unique_ptr<Impl>> impl = Impl::Start(std::move(options));
  if (!impl.ok()) return impl.status();
  return ForkServer(*std::move(impl));
}

absl::Status ForkServer::Refresh() {
  if (impl_ == nullptr) return absl::FailedPreconditionError("ForkServer: moved-from");
  return impl_->Refresh();
}

pid_t ForkServer::pid() const { return impl_ != nullptr ? impl_->pid() : 0; }

absl::StatusOr<Child> ForkServer::ForkPacked(PackedFunction function, std::string_view arguments,
                                             absl::Span<const int> fds, const TaskOptions& options) const {
  if (impl_ == nullptr) return absl::FailedPreconditionError("ForkServer: moved-from");
  if (fds.size() >= os::kMaxMessageFds) {
    return absl::InvalidArgumentError(absl::StrCat("ForkServer: ", fds.size(), " descriptors; up to ",
                                                   os::kMaxMessageFds - 1, " can be passed"));
  }
  BlankOrder order;
  order.kind = BlankOrder::kRun;
  order.arguments_bytes = arguments.size();
  order.function = function;
  order.die_with_parent = options.die_with_parent ? 1 : 0;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &order.mask);
  if (arguments.size() <= kMaxInlineBytes) return impl_->Fork(order, arguments, fds);

  absl::StatusOr<os::UniqueFd> file = FileInMemory(arguments);
  if (!file.ok()) return file.status();
  order.arguments_in_file = 1;
  std::vector<int> all_fds(fds.begin(), fds.end());
  all_fds.push_back(file->get());
  return impl_->Fork(order, {}, all_fds);
}

}  // namespace ko
