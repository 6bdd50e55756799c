#include "ko/process/daemonize.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "ko/os/above_stdio.h"
#include "ko/os/deadline.h"
#include "ko/os/errno_status.h"
#include "ko/os/file_size_signal.h"
#include "ko/os/fork.h"
#include "ko/os/pidfd.h"
#include "ko/os/signal_mask.h"
#include "ko/os/threads.h"
#include "ko/process/flush_output.h"

namespace ko {
namespace {

// A message from the daemon to the launching command: its kind, then text. Sequenced packets keep them apart.
constexpr char kPid = 'P';  // the daemon's pid as text; it waits for an answer
constexpr char kReady = 'R';
constexpr char kFailed = 'F';  // why
constexpr size_t kMaxMessageBytes = 4096;

// How long a daemon that was not ready in time has to obey SIGTERM.
constexpr absl::Duration kLateDaemonGrace = absl::Seconds(5);

absl::StatusOr<os::UniqueFd> OpenAboveStdio(const std::string& path, int flags, mode_t mode = 0) {
  os::UniqueFd fd(os::RetryEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode); }));
  if (!fd.valid()) return os::ErrnoStatus(errno, "open", path);
  if (absl::Status moved = os::MoveAboveStdio(fd); !moved.ok()) return moved;
  return fd;
}

struct flock WholeFileLock() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

absl::Status AlreadyRunning(const std::string& pid_file, pid_t pid) {
  return absl::AlreadyExistsError(
      absl::StrCat("already running with pid ", pid, " (it holds ", pid_file, ")"));
}

// What the launching command opens beforehand, so that its errors are seen where the user is.
struct Files {
  os::UniqueFd null;
  os::UniqueFd log;  // invalid: none is wanted
  os::UniqueFd pid;  // invalid: none is wanted
  os::UniqueFd working_directory;
};

absl::Status CheckPaths(const DaemonOptions& options) {
  for (const std::string* path : {&options.working_directory, &options.log_file, &options.pid_file}) {
    if (path->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("Daemonize: a path has a NUL byte");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Files> OpenFiles(const DaemonOptions& options) {
  if (absl::Status ok = CheckPaths(options); !ok.ok()) return ok;
  Files files;
  absl::StatusOr<os::UniqueFd> opened = OpenAboveStdio("/dev/null", O_RDWR);
  if (!opened.ok()) return opened.status();
  files.null = *std::move(opened);

  opened = OpenAboveStdio(options.working_directory, O_RDONLY | O_DIRECTORY);
  if (!opened.ok()) return opened.status();
  files.working_directory = *std::move(opened);

  if (!options.log_file.empty()) {
    opened = OpenAboveStdio(options.log_file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
    if (!opened.ok()) return opened.status();
    files.log = *std::move(opened);
  }
  if (!options.pid_file.empty()) {
    opened = OpenAboveStdio(options.pid_file, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
    if (!opened.ok()) return opened.status();
    files.pid = *std::move(opened);
    struct flock lock = WholeFileLock();
    if (::fcntl(files.pid.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
      return AlreadyRunning(options.pid_file, lock.l_pid);
    }
  }
  return files;
}

absl::Status SendMessage(int socket, char kind, std::string_view text) {
  const std::string message = absl::StrCat(std::string_view(&kind, 1), text.substr(0, kMaxMessageBytes - 1));
  const ssize_t sent =
      os::RetryEintr([&] { return ::send(socket, message.data(), message.size(), MSG_NOSIGNAL); });
  if (sent >= 0) return absl::OkStatus();
  if (errno != EPIPE && errno != ECONNRESET) return os::ErrnoStatus(errno, "send", "launching command");
  // A launching command that is gone no longer wants to know, and nothing will come from it.
  ::shutdown(socket, SHUT_RDWR);
  return absl::OkStatus();
}

// The launching command's last work: it waits for the daemon's word and ends this process accordingly.
class Launcher {
 public:
  Launcher(os::UniqueFd socket, absl::Duration timeout) : socket_(std::move(socket)), timeout_(timeout) {}

  [[noreturn]] void Finish() {
    for (;;) {
      std::optional<std::string> message = NextMessage();
      if (!message.has_value()) End(1, "the daemon ended before it was ready");
      switch ((*message)[0]) {
        case kPid:
          Meet(message->substr(1));
          break;
        case kReady:
          End(0, "");
        case kFailed:
          End(1, message->substr(1));
        default:
          End(1, "the daemon said something that is no message");
      }
    }
  }

 private:
  // Empty where the daemon has ended without one.
  std::optional<std::string> NextMessage() {
    for (;;) {
      pollfd fds[2] = {{socket_.get(), POLLIN, 0}, {daemon_.get(), POLLIN, 0}};
      timespec storage;
      const int ready = ::ppoll(fds, 2, deadline_.RemainingTimespec(storage), nullptr);
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) GiveUp();
      char buffer[kMaxMessageBytes];
      // Not blocking: when only the pidfd is ready, its last message may be there all the same.
      const ssize_t size =
          os::RetryEintr([&] { return ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT); });
      if (size > 0) return std::string(buffer, static_cast<size_t>(size));
      if (size == 0 || (fds[1].revents & POLLIN) != 0) return std::nullopt;
    }
  }

  // Names the daemon by a pidfd while it cannot have ended, as it waits for the answer. Its time starts here:
  // before, it has run nothing of the program's, and there was nobody to end.
  void Meet(const std::string& pid_text) {
    daemon_ = os::OpenPidfd(std::atoi(pid_text.c_str()));
    deadline_ = os::Deadline::After(timeout_);
    // The end of what comes from here is an answer, too.
    if (!SendMessage(socket_.get(), kPid, "").ok()) ::shutdown(socket_.get(), SHUT_WR);
  }

  [[noreturn]] void GiveUp() {
    if (daemon_.valid()) {
      os::SendSignal(daemon_.get(), SIGTERM);
      if (!os::AwaitEnd(daemon_.get(), os::Deadline::After(kLateDaemonGrace)).value_or(false)) {
        os::SendSignal(daemon_.get(), SIGKILL);
      }
    }
    End(1,
        absl::StrCat("the daemon was not ready within ", absl::FormatDuration(timeout_), "; it was stopped"));
  }

  [[noreturn]] void End(int code, const std::string& why) {
    if (!why.empty()) {
      std::fprintf(stderr, "%s\n", why.c_str());
      std::fflush(stderr);
    }
    ::_exit(code);
  }

  os::UniqueFd socket_;
  os::UniqueFd daemon_;
  const absl::Duration timeout_;
  os::Deadline deadline_ = os::Deadline::After(absl::InfiniteDuration());
};

// The daemon's own steps, in their order; each error is what the launching command prints.
class Daemon {
 public:
  Daemon(const DaemonOptions& options, Files& files, int socket)
      : options_(options), files_(files), socket_(socket) {}

  absl::Status Settle() {
    if (absl::Status met = MeetLauncher(); !met.ok()) return met;
    if (absl::Status locked = LockPidFile(); !locked.ok()) return locked;
    ::umask(options_.umask);
    if (::fchdir(files_.working_directory.get()) != 0) {
      return os::ErrnoStatus(errno, "fchdir", options_.working_directory);
    }
    return RedirectStdio();
  }

 private:
  absl::Status MeetLauncher() {
    if (absl::Status sent = SendMessage(socket_, kPid, absl::StrCat(::getpid())); !sent.ok()) return sent;
    char answer;
    os::RetryEintr([&] { return ::recv(socket_, &answer, 1, 0); });  // or its end, which changes nothing
    return absl::OkStatus();
  }

  absl::Status LockPidFile() {
    if (!files_.pid.valid()) return absl::OkStatus();
    // A lock of this process: forked children do not share it, so none of them keeps it when the daemon ends.
    struct flock lock = WholeFileLock();
    if (::fcntl(files_.pid.get(), F_SETLK, &lock) != 0) {
      const int error_number = errno;
      if (error_number != EACCES && error_number != EAGAIN) {
        return os::ErrnoStatus(error_number, "fcntl(F_SETLK)", options_.pid_file);
      }
      ::fcntl(files_.pid.get(), F_GETLK, &lock);
      return AlreadyRunning(options_.pid_file, lock.l_pid);
    }
    const std::string text = absl::StrCat(::getpid(), "\n");
    if (::ftruncate(files_.pid.get(), 0) != 0) return os::ErrnoStatus(errno, "ftruncate", options_.pid_file);
    const ssize_t written =
        os::GrowFile([&] { return ::pwrite(files_.pid.get(), text.data(), text.size(), 0); });
    if (written != static_cast<ssize_t>(text.size())) {
      return os::ErrnoStatus(errno, "write", options_.pid_file);
    }
    return absl::OkStatus();
  }

  absl::Status RedirectStdio() {
    const int output = files_.log.valid() ? files_.log.get() : files_.null.get();
    if (::dup2(files_.null.get(), 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) {
      return os::ErrnoStatus(errno, "dup2", "standard streams");
    }
    return absl::OkStatus();
  }

  const DaemonOptions& options_;
  Files& files_;
  const int socket_;
};

absl::Status ToStatus(const os::StartFailure& failure) {
  return os::ErrnoStatus(failure.error_number, failure.stage);
}

[[noreturn]] void TellAndExit(int socket, const absl::Status& why) {
  SendMessage(socket, kFailed, why.message()).IgnoreError();
  ::_exit(1);
}

}  // namespace

DaemonLaunch::DaemonLaunch(os::UniqueFd launcher, os::UniqueFd pid_file)
    : launcher_(std::move(launcher)), pid_file_(std::move(pid_file)), owner_(::getpid()) {}

DaemonLaunch& DaemonLaunch::operator=(DaemonLaunch&& other) noexcept {
  if (this == &other) return *this;
  HangUp();
  launcher_ = std::move(other.launcher_);
  pid_file_ = std::move(other.pid_file_);
  owner_ = other.owner_;
  return *this;
}

DaemonLaunch::~DaemonLaunch() { HangUp(); }

// Closing alone would not be noticed while a forked child has a copy.
void DaemonLaunch::HangUp() {
  if (launcher_.valid() && owner_ == ::getpid()) ::shutdown(launcher_.get(), SHUT_RDWR);
  launcher_.reset();
}

absl::Status DaemonLaunch::Ready() { return Tell(kReady, ""); }

absl::Status DaemonLaunch::Fail(std::string_view why) { return Tell(kFailed, why); }

absl::Status DaemonLaunch::Tell(char verdict, std::string_view text) {
  if (!launcher_.valid()) {
    return absl::FailedPreconditionError(
        "DaemonLaunch: moved-from, or the launching command was told already");
  }
  if (owner_ != ::getpid()) {
    return absl::FailedPreconditionError("DaemonLaunch: this process is not the daemon, but a child of it");
  }
  absl::Status sent = SendMessage(launcher_.get(), verdict, text);
  launcher_.reset();
  return sent;
}

absl::StatusOr<DaemonLaunch> Daemonize(DaemonOptions options) {
  if (os::HasOtherThreads()) {
    return absl::FailedPreconditionError(
        "Daemonize: this process has other threads, which the daemon would not have");
  }
  absl::StatusOr<Files> files = OpenFiles(options);
  if (!files.ok()) return files.status();
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return os::ErrnoStatus(errno, "socketpair");
  }
  os::UniqueFd launcher_end(sockets[0]), daemon_end(sockets[1]);
  for (os::UniqueFd* end : {&launcher_end, &daemon_end}) {
    if (absl::Status moved = os::MoveAboveStdio(*end); !moved.ok()) return moved;
  }

  FlushOutput();
  os::ScopedAllSignalsBlocked blocked;
  std::variant<os::ForkedProcess, os::StartFailure> forked = os::ForkWithPidfd(os::Handlers::kKept);
  if (const auto* failure = std::get_if<os::StartFailure>(&forked)) return ToStatus(*failure);
  if (const auto& between = std::get<os::ForkedProcess>(forked); between.pid != 0) {
    daemon_end.reset();
    // This process is no longer the user's program, only its last word: Ctrl-C ends it, whatever the program
    // wanted.
    os::ResetSignalHandlers();
    ::pthread_sigmask(SIG_SETMASK, &blocked.previous(), nullptr);
    os::Reap(between.pidfd.get(), /*block=*/true).IgnoreError();
    Launcher(std::move(launcher_end), options.ready_timeout).Finish();
  }
  launcher_end.reset();
  if (::setsid() < 0) TellAndExit(daemon_end.get(), os::ErrnoStatus(errno, "setsid"));
  forked = os::ForkWithPidfd(os::Handlers::kKept);
  if (const auto* failure = std::get_if<os::StartFailure>(&forked))
    TellAndExit(daemon_end.get(), ToStatus(*failure));
  if (std::get<os::ForkedProcess>(forked).pid != 0) ::_exit(0);
  if (absl::Status settled = Daemon(options, *files, daemon_end.get()).Settle(); !settled.ok()) {
    TellAndExit(daemon_end.get(), settled);
  }
  return DaemonLaunch(std::move(daemon_end), std::move(files->pid));
}

}  // namespace ko
