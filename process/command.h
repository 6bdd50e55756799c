#ifndef KO_PROCESS_COMMAND_H_
#define KO_PROCESS_COMMAND_H_

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ko {

// Where a standard stream of a command leads. A value.
class Stdio {
 public:
  static Stdio Inherit() { return Stdio(Kind::kInherit); }
  static Stdio Null() { return Stdio(Kind::kNull); }
  // A pipe to the parent: Child::stdin_fd(), stdout_fd(), stderr_fd(). Writing to a command that has closed
  // its input raises SIGPIPE like any pipe; a command blocks when nobody reads its output.
  static Stdio Pipe() { return Stdio(Kind::kPipe); }
  // Opened by the parent, so an error is Exec's: read for standard input, else created (0644) and truncated
  // or appended.
  static Stdio File(std::string path) { return Stdio(Kind::kFile, std::move(path)); }
  static Stdio AppendToFile(std::string path) { return Stdio(Kind::kAppend, std::move(path)); }
  // A copy of an open descriptor of the caller's, who keeps it.
  static Stdio Fd(int fd) { return Stdio(Kind::kFd, {}, fd); }

  bool is_pipe() const { return kind_ == Kind::kPipe; }

 private:
  friend class StdioOpener;
  enum class Kind { kInherit, kNull, kPipe, kFile, kAppend, kFd };
  explicit Stdio(Kind kind, std::string path = {}, int fd = -1)
      : kind_(kind), path_(std::move(path)), fd_(fd) {}

  Kind kind_;
  std::string path_;
  int fd_;
};

// A descriptor that a command is to have beside its standard streams. The caller keeps its own.
struct InheritedFd {
  int fd = -1;  // the caller's
  // The environment variable that tells the command its number ("CONFIG_FD"); none where empty.
  std::string variable = {};
  // Its number in the command, 3 or more; -1 takes the first that is free.
  int number = -1;
};

// A listening socket handed on by systemd's protocol, see listen_fds.h for the other side.
struct ListenFd {
  int fd = -1;            // the caller's, who keeps it
  std::string name = {};  // up to 255 characters without ':'; "unknown" where empty
};

// A program to run, and how. A value; nothing is looked at before Exec.
//
//   ko::Command command{.argv = {"sha256sum", path}, .stdout_to = ko::Stdio::Pipe()};
struct Command {
  // The program and its arguments. A program without a slash is looked up in this process's PATH, as
  // execvp(3) does.
  std::vector<std::string> argv;
  // "NAME=value" each; this process's environment where empty.
  std::optional<std::vector<std::string>> env = std::nullopt;
  // The working directory; a relative program path is looked up from there. This process's own where empty.
  std::string cwd = {};
  Stdio stdin_from = Stdio::Inherit();
  Stdio stdout_to = Stdio::Inherit();
  Stdio stderr_to = Stdio::Inherit();
  // (RLIMIT_NOFILE, {soft, hard}) and so on, see setrlimit(2).
  std::vector<std::pair<int, rlimit>> limits = {};
  std::optional<mode_t> umask = std::nullopt;
  // A session of its own (setsid), or a process group of its own: the terminal's Ctrl-C does not reach it.
  bool new_session = false;
  bool new_process_group = false;
  // The kernel kills the command (SIGKILL) when this process dies, see ForkOptions::die_with_parent. (It
  // forgets that where the program is set-user-id.)
  bool die_with_parent = false;
  // Who it runs as, names or numbers; this process's own where empty. Changing them takes privileges. A user
  // brings the primary group and the supplementary groups that the user database gives it, unless they are
  // named here; one that is not in the database has no groups but those named here, `group` among them. HOME
  // and USER are left to `env`.
  std::string user = {};
  std::string group = {};
  std::optional<std::vector<std::string>> supplementary_groups = std::nullopt;
  // -20 (most) to 19 (least of the processor), whatever this process's own is.
  std::optional<int> nice = std::nullopt;
  // The processors that it may run on; those of this process where empty.
  std::vector<int> cpus = {};
  // Neither it nor what it starts can gain privileges by a program's set-user-id bit.
  bool no_new_privs = false;
  // Descriptors beside the standard streams.
  std::vector<InheritedFd> fds = {};
  // Listening sockets: numbered from 3 on in this order, told by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES.
  std::vector<ListenFd> listen_fds = {};
  // The signals that are blocked in it; those of this thread where empty.
  std::optional<sigset_t> signal_mask = std::nullopt;
};

}  // namespace ko

#endif  // KO_PROCESS_COMMAND_H_
