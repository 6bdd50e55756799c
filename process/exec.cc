#include "ko/process/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "ko/os/above_stdio.h"
#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"
#include "ko/os/vfork_exec.h"
#include "ko/process/child_maker.h"
#include "ko/process/fd_layout.h"
#include "ko/process/user_lookup.h"

namespace ko {

// Opens both ends of a stream: the command's, numbered 3 or more so that it can be put in its place, and
// ours.
class StdioOpener {
 public:
  static const std::string& Path(const Stdio& stdio) { return stdio.path_; }

  absl::Status Open(const Stdio& stdio, int stream) {
    switch (stdio.kind_) {
      case Stdio::Kind::kInherit:
        return absl::OkStatus();
      case Stdio::Kind::kNull:
        return OpenFile("/dev/null", stream == 0 ? O_RDONLY : O_WRONLY);
      case Stdio::Kind::kFile:
        return OpenFile(stdio.path_, stream == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC);
      case Stdio::Kind::kAppend:
        return OpenFile(stdio.path_, stream == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_APPEND);
      case Stdio::Kind::kFd:
        return CopyFd(stdio.fd_);
      case Stdio::Kind::kPipe:
        break;
    }
    return OpenPipe(stream);
  }

  os::UniqueFd theirs;
  os::UniqueFd ours;

 private:
  absl::Status OpenFile(const std::string& path, int flags) {
    theirs = os::UniqueFd(
        os::RetryEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0644); }));
    if (!theirs.valid()) return os::ErrnoStatus(errno, "open", path);
    return os::MoveAboveStdio(theirs);
  }

  absl::Status CopyFd(int fd) {
    absl::StatusOr<os::UniqueFd> copy = os::CopyAboveStdio(fd);
    if (!copy.ok()) return copy.status();
    theirs = *std::move(copy);
    return absl::OkStatus();
  }

  absl::Status OpenPipe(int stream) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return os::ErrnoStatus(errno, "pipe2");
    os::UniqueFd read(fds[0]), write(fds[1]);
    theirs = std::move(stream == 0 ? read : write);
    ours = std::move(stream == 0 ? write : read);
    if (absl::Status moved = os::MoveAboveStdio(theirs); !moved.ok()) return moved;
    // In the place of a stream that this process lacks, ours would get what the process prints.
    return os::MoveAboveStdio(ours);
  }
};

namespace {

absl::Status CheckNoNulByte(std::string_view text, std::string_view what) {
  if (text.find('\0') == std::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("Exec: ", what, " has a NUL byte"));
}

absl::Status Check(const Command& command) {
  if (command.argv.empty() || command.argv[0].empty()) {
    return absl::InvalidArgumentError("Exec: argv names no program");
  }
  for (const std::string& argument : command.argv) {
    if (absl::Status ok = CheckNoNulByte(argument, "an argument"); !ok.ok()) return ok;
  }
  if (command.env.has_value()) {
    for (const std::string& variable : *command.env) {
      if (absl::Status ok = CheckNoNulByte(variable, "an environment variable"); !ok.ok()) return ok;
    }
  }
  for (const Stdio* stdio : {&command.stdin_from, &command.stdout_to, &command.stderr_to}) {
    if (absl::Status ok = CheckNoNulByte(StdioOpener::Path(*stdio), "a stream's path"); !ok.ok()) return ok;
  }
  for (const std::string* name : {&command.user, &command.group}) {
    if (absl::Status ok = CheckNoNulByte(*name, "a user's or group's name"); !ok.ok()) return ok;
  }
  for (const std::string& group : command.supplementary_groups.value_or(std::vector<std::string>())) {
    if (absl::Status ok = CheckNoNulByte(group, "a group's name"); !ok.ok()) return ok;
  }
  if (command.nice.has_value() && (*command.nice < -20 || *command.nice > 19)) {
    return absl::InvalidArgumentError(absl::StrCat("Exec: nice ", *command.nice, " is not in -20 to 19"));
  }
  return CheckNoNulByte(command.cwd, "the working directory");
}

// A null-terminated array of pointers into `strings`, which must outlive it.
std::vector<char*> Pointers(std::vector<std::string>&& temporary) = delete;
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& each : strings) pointers.push_back(const_cast<char*>(each.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Where a program of this name may be, in the order of PATH; an empty element of PATH is the working
// directory.
std::vector<std::string> ProgramPaths(const std::string& name) {
  if (name.find('/') != std::string::npos) return {name};
  const char* path = std::getenv("PATH");
  std::vector<std::string> paths;
  for (std::string_view folder : absl::StrSplit(path != nullptr ? path : "/bin:/usr/bin", ':')) {
    paths.push_back(folder.empty() ? absl::StrCat("./", name) : absl::StrCat(folder, "/", name));
  }
  return paths;
}

// The environment as pointers into this process's own, the command's, or `added`.
std::vector<char*> Environment(const Command& command, const std::vector<std::string>& added) {
  std::vector<char*> pointers;
  const auto keep = [&](char* variable) {
    const std::string_view text = variable;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    const bool replaced = !name.empty() && std::any_of(added.begin(), added.end(), [&](const auto& each) {
      return absl::StartsWith(each, name);
    });
    if (!replaced) pointers.push_back(variable);
  };
  if (command.env.has_value()) {
    for (const std::string& each : *command.env) keep(const_cast<char*>(each.c_str()));
  } else {
    for (char** each = environ; each != nullptr && *each != nullptr; ++each) keep(*each);
  }
  for (const std::string& each : added) pointers.push_back(const_cast<char*>(each.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the numbers of Command::cpus mean to the kernel.
absl::StatusOr<std::vector<cpu_set_t>> CpuMask(const std::vector<int>& cpus) {
  constexpr int kMostCpus = 1 << 16;  // far beyond any kernel's
  std::vector<cpu_set_t> mask;
  for (const int cpu : cpus) {
    if (cpu < 0 || cpu >= kMostCpus) {
      return absl::InvalidArgumentError(absl::StrCat("Exec: cpus: ", cpu, " is no processor"));
    }
    const size_t needed = static_cast<size_t>(cpu) / CPU_SETSIZE + 1;
    if (mask.size() < needed) mask.resize(needed);
    CPU_SET_S(cpu, mask.size() * sizeof(cpu_set_t), mask.data());
  }
  return mask;
}

// Nothing where the command is to be this process's user, so that everybody may name himself.
absl::StatusOr<std::optional<UserIds>> UserOf(const Command& command, bool& sets_groups) {
  if (command.user.empty() && command.group.empty() && !command.supplementary_groups.has_value()) {
    return std::nullopt;
  }
  absl::StatusOr<UserIds> wanted = LookUpUser(command.user, command.group, command.supplementary_groups);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<std::optional<UserIds>> own = OwnUserIds();
  if (!own.ok()) return own.status();
  if (*own == *wanted) return std::nullopt;
  sets_groups = !own->has_value() || (*own)->groups != wanted->groups;
  return *std::move(wanted);
}

absl::Status CheckOpen(const std::vector<os::PassedFd>& fds) {
  for (const os::PassedFd& fd : fds) {
    if (::fcntl(fd.source, F_GETFD) < 0) {
      return os::ErrnoStatus(errno, "Exec: inheriting", absl::StrCat("fd ", fd.source));
    }
  }
  return absl::OkStatus();
}

absl::Status ToStatus(const os::StartFailure& failure, const Command& command) {
  const std::string_view stage = failure.stage;
  std::string object = command.argv[0];
  if (stage == "fcntl(F_DUPFD_CLOEXEC)") object = "inherited fds";
  if (stage == "chdir") object = command.cwd;
  if (stage == "setrlimit") object = "Command::limits";
  if (stage == "setpriority") object = absl::StrCat("nice ", command.nice.value_or(0));
  if (stage == "sched_setaffinity") object = absl::StrCat("cpus ", absl::StrJoin(command.cpus, ","));
  if (stage == "setresuid") object = absl::StrCat("user ", command.user);
  if (stage == "setresgid" || stage == "setgroups") {
    object = absl::StrCat("user ", command.user, " group ", command.group);
  }
  return os::ErrnoStatus(failure.error_number, stage, object);
}

// Of what failed in this process, before there was a child; its message says which it was.
int ErrnoOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kPermissionDenied:
      return EACCES;
    case absl::StatusCode::kResourceExhausted:
      return EMFILE;
    default:
      return EIO;
  }
}

// `error_number` is set where the errno of a failure is known.
absl::StatusOr<Child> Start(const Command& command, int& error_number) {
  if (absl::Status ok = Check(command); !ok.ok()) return ok;
  absl::StatusOr<FdLayout> layout = LayOutFds(command.listen_fds, command.fds);
  if (!layout.ok()) return layout.status();
  absl::StatusOr<std::vector<cpu_set_t>> cpus = CpuMask(command.cpus);
  if (!cpus.ok()) return cpus.status();
  bool sets_groups = false;
  absl::StatusOr<std::optional<UserIds>> user = UserOf(command, sets_groups);
  if (!user.ok()) return user.status();
  std::vector<os::PassedFd> fds;
  for (const FdLayout::Place& place : layout->places) fds.push_back({place.source, place.target});
  if (absl::Status open = CheckOpen(fds); !open.ok()) return open;

  os::ExecPlan plan;
  constexpr std::string_view kListenPid = "LISTEN_PID=";
  if (!command.listen_fds.empty()) {
    layout->environment.push_back(absl::StrCat(kListenPid, std::string(3 * sizeof(pid_t), '\0')));
    plan.own_pid = layout->environment.back().data() + kListenPid.size();
  }
  const std::vector<char*> argv = Pointers(command.argv);
  const std::vector<char*> env = Environment(command, layout->environment);
  const std::vector<std::string> paths = ProgramPaths(command.argv[0]);
  const std::vector<char*> path_pointers = Pointers(paths);
  std::vector<os::ResourceLimit> limits;
  for (const auto& [resource, limit] : command.limits) limits.push_back({resource, limit});
  os::UserChange change;

  plan.program_paths = absl::MakeConstSpan(path_pointers.data(), paths.size());
  plan.argv = argv.data();
  plan.envp = env.data();
  plan.working_directory = command.cwd.empty() ? nullptr : command.cwd.c_str();
  plan.fds = absl::MakeSpan(fds);
  plan.limits = limits;
  plan.umask = command.umask.has_value() ? static_cast<int>(*command.umask) : -1;
  plan.nice = command.nice.has_value() ? &*command.nice : nullptr;
  if (!cpus->empty()) {
    plan.cpus = cpus->data();
    plan.cpus_bytes = cpus->size() * sizeof(cpu_set_t);
  }
  if (user->has_value()) {
    change = {(*user)->uid, (*user)->gid, sets_groups, (*user)->groups};
    plan.user = &change;
  }
  plan.new_session = command.new_session;
  plan.new_process_group = command.new_process_group;
  plan.die_with_parent = command.die_with_parent;
  plan.no_new_privs = command.no_new_privs;
  plan.signal_mask = command.signal_mask.has_value() ? &*command.signal_mask : nullptr;

  StdioOpener streams[3];
  const Stdio* const wanted[3] = {&command.stdin_from, &command.stdout_to, &command.stderr_to};
  for (int i = 0; i < 3; ++i) {
    if (absl::Status opened = streams[i].Open(*wanted[i], i); !opened.ok()) return opened;
    plan.stdio[i] = streams[i].theirs.get();
  }

  std::variant<os::ExecedProcess, os::StartFailure> started = os::VforkExec(plan);
  if (const auto* failure = std::get_if<os::StartFailure>(&started)) {
    error_number = failure->error_number;
    return ToStatus(*failure, command);
  }
  auto& process = std::get<os::ExecedProcess>(started);
  Child child = ChildMaker::Make(process.pid, std::move(process.pidfd));
  for (int i = 0; i < 3; ++i) ChildMaker::SetStdio(child, i, std::move(streams[i].ours));
  return child;
}

}  // namespace

absl::StatusOr<Child> Exec(const Command& command) {
  int error_number = 0;
  return Start(command, error_number);
}

std::variant<Child, ExitStatus> TryExec(const Command& command) {
  int error_number = 0;
  absl::StatusOr<Child> child = Start(command, error_number);
  if (child.ok()) return *std::move(child);
  if (error_number == 0) error_number = ErrnoOf(child.status());
  return ExitStatus::NotStarted(error_number, "exec").WithReason(child.status());
}

}  // namespace ko
