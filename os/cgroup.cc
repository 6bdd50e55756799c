#include "ko/os/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "ko/os/above_stdio.h"
#include "ko/os/errno_status.h"

namespace ko::os {
namespace {

// How long processes may take to die of SIGKILL before they and the folder are left.
constexpr absl::Duration kKillTimeout = absl::Seconds(10);
// Of folders below each other, so that no chain of them takes all descriptors.
constexpr int kMaxDepth = 64;

absl::Status Unavailable(std::string_view why) {
  return absl::UnavailableError(absl::StrCat("Cgroup: ", why));
}

// What mountinfo writes as \ooo: space, tab, newline, backslash.
std::string Unescape(std::string_view text) {
  std::string plain;
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// What comes after `root` in `path`, "" or "/..."; false where that is not below it.
bool ConsumeRoot(std::string_view& path, std::string_view root) {
  if (root == "/") root = "";
  return absl::ConsumePrefix(&path, root) && (path.empty() || path.front() == '/');
}

absl::StatusOr<UniqueFd> Open(int folder, const char* name, int flags) {
  UniqueFd file(RetryEintr([&] { return ::openat(folder, name, flags | O_CLOEXEC); }));
  if (!file.valid()) return ErrnoStatus(errno, "open", name);
  if (absl::Status moved = MoveAboveStdio(file); !moved.ok()) return moved;
  return file;
}

absl::StatusOr<std::string> ReadText(const char* name) {
  absl::StatusOr<UniqueFd> file = Open(AT_FDCWD, name, O_RDONLY);
  if (!file.ok()) return file.status();
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t size = RetryEintr([&] { return ::read(file->get(), buffer, sizeof buffer); });
    if (size < 0) return ErrnoStatus(errno, "read", name);
    if (size == 0) return text;
    text.append(buffer, static_cast<size_t>(size));
  }
}

absl::StatusOr<std::string> FindOwnCgroup() {
  absl::StatusOr<std::string> cgroup = ReadText("/proc/self/cgroup");
  if (absl::IsNotFound(cgroup.status())) return Unavailable(cgroup.status().message());
  if (!cgroup.ok()) return cgroup.status();
  absl::StatusOr<std::string> mountinfo = ReadText("/proc/self/mountinfo");
  if (!mountinfo.ok()) return mountinfo.status();
  return FindCgroup(*cgroup, *mountinfo);
}

// Removes a folder and those below it, as far as there is nobody in them.
void RemoveFolder(int parent, const char* name, int depth) {
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || depth == 0) return;
  UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd.get()), ::closedir);
  if (folder == nullptr) return;
  fd.release();  // the folder's now
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view below = entry->d_name;
    if (entry->d_type == DT_DIR && below != "." && below != "..")
      RemoveFolder(::dirfd(folder.get()), entry->d_name, depth - 1);
  }
  ::unlinkat(parent, name, AT_REMOVEDIR);
}

const char* NameOf(const std::string& path) { return path.c_str() + path.rfind('/') + 1; }

}  // namespace

absl::StatusOr<std::string> FindCgroup(std::string_view cgroup_text, std::string_view mountinfo_text) {
  std::string_view own;
  for (std::string_view line : absl::StrSplit(cgroup_text, '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) own = line;
  }
  if (own.empty()) return Unavailable("this process is in none of version 2");
  if (absl::StartsWith(own, "/..")) return Unavailable("that of this process is outside of its namespace");
  if (absl::EndsWith(own, " (deleted)")) return Unavailable("that of this process has been removed");

  // "ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [FIELDS...] - TYPE SOURCE OPTIONS"
  for (std::string_view line : absl::StrSplit(mountinfo_text, '\n')) {
    const std::pair<std::string_view, std::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<std::string_view> fields = absl::StrSplit(halves.first, ' ');
    if (fields.size() < 6 || !absl::StartsWith(halves.second, "cgroup2 ")) continue;
    const std::string root = Unescape(fields[3]);
    std::string_view below = own;
    if (!ConsumeRoot(below, root)) continue;
    return absl::StrCat(Unescape(fields[4]), below == "/" ? "" : below);
  }
  return Unavailable("version 2 is not mounted here");
}

absl::StatusOr<Cgroup> Cgroup::CreateBelowOwn(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || absl::StrContains(name, '/') ||
      absl::StrContains(name, '\0')) {
    return absl::InvalidArgumentError(absl::StrCat("Cgroup: \"", name, "\" is no file name"));
  }
  absl::StatusOr<std::string> own = FindOwnCgroup();
  if (!own.ok()) return own.status();

  Cgroup group;
  absl::StatusOr<UniqueFd> parent = Open(AT_FDCWD, own->c_str(), O_RDONLY | O_DIRECTORY);
  if (!parent.ok()) return parent.status();
  group.parent_ = *std::move(parent);
  group.path_ = absl::StrCat(*own, "/", name);
  if (::mkdirat(group.parent_.get(), NameOf(group.path_), 0755) != 0) {
    const int error = errno;
    const bool may_not = error == EACCES || error == EPERM || error == EROFS;
    const absl::Status status = ErrnoStatus(error, "mkdir", std::exchange(group.path_, ""));
    return may_not ? Unavailable(status.message()) : status;
  }
  group.owner_ = ::getpid();  // from here on its destructor removes the folder

  absl::StatusOr<UniqueFd> folder =
      Open(group.parent_.get(), NameOf(group.path_), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder.ok()) return folder.status();
  const struct {
    UniqueFd& file;
    const char* name;
    int flags;
  } kFiles[] = {{group.procs_, "cgroup.procs", O_WRONLY},
                {group.kill_, "cgroup.kill", O_WRONLY},
                {group.events_, "cgroup.events", O_RDONLY}};
  for (const auto& each : kFiles) {
    absl::StatusOr<UniqueFd> file = Open(folder->get(), each.name, each.flags);
    if (absl::IsNotFound(file.status()) || absl::IsPermissionDenied(file.status())) {
      return Unavailable(file.status().message());
    }
    if (!file.ok()) return file.status();
    each.file = *std::move(file);
  }
  return group;
}

Cgroup::Cgroup(Cgroup&& other) noexcept
    : owner_(std::exchange(other.owner_, 0)),
      path_(std::exchange(other.path_, "")),
      parent_(std::move(other.parent_)),
      procs_(std::move(other.procs_)),
      kill_(std::move(other.kill_)),
      events_(std::move(other.events_)) {}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  owner_ = std::exchange(other.owner_, 0);
  path_ = std::exchange(other.path_, "");
  parent_ = std::move(other.parent_);
  procs_ = std::move(other.procs_);
  kill_ = std::move(other.kill_);
  events_ = std::move(other.events_);
  return *this;
}

Cgroup::~Cgroup() { Abandon(); }

void Cgroup::Abandon() {
  if (path_.empty() || owner_ != ::getpid()) return;
  if (kill_.valid() && events_.valid() && IsPopulated()) {
    Kill().IgnoreError();
    AwaitEmpty(Deadline::After(kKillTimeout)).IgnoreError();
  }
  RemoveFolder(parent_.get(), NameOf(path_), kMaxDepth);
}

absl::Status Cgroup::AddSelf() const { return Write(procs_, "cgroup.procs", "0"); }

absl::Status Cgroup::Add(pid_t pid) const { return Write(procs_, "cgroup.procs", absl::StrCat(pid)); }

absl::Status Cgroup::Kill() const { return Write(kill_, "cgroup.kill", "1"); }

absl::Status Cgroup::Write(const UniqueFd& file, std::string_view file_name, std::string_view text) const {
  if (path_.empty()) return absl::FailedPreconditionError("Cgroup: moved-from");
  const ssize_t written = RetryEintr([&] { return ::write(file.get(), text.data(), text.size()); });
  return written >= 0 ? absl::OkStatus() : ErrnoStatus(errno, "write", absl::StrCat(path_, "/", file_name));
}

bool Cgroup::IsPopulated() const {
  char text[128];
  const ssize_t size = RetryEintr([&] { return ::pread(events_.get(), text, sizeof text, 0); });
  return size > 0 && absl::StrContains(std::string_view(text, static_cast<size_t>(size)), "populated 1");
}

absl::StatusOr<bool> Cgroup::AwaitEmpty(const Deadline& deadline) const {
  if (path_.empty()) return absl::FailedPreconditionError("Cgroup: moved-from");
  for (;;) {
    // The kernel reports each change after the last look once (POLLPRI).
    if (!IsPopulated()) return true;
    pollfd poll_fd = {events_.get(), POLLPRI, 0};
    timespec storage;
    const int ready = ::ppoll(&poll_fd, 1, deadline.RemainingTimespec(storage), nullptr);
    if (ready == 0) return false;
    if (ready < 0 && errno != EINTR)
      return ErrnoStatus(errno, "ppoll", absl::StrCat(path_, "/cgroup.events"));
  }
}

}  // namespace ko::os
