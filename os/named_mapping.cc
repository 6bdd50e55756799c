#include "ko/os/named_mapping.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"
#include "ko/os/file_size_signal.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

constexpr char kFolder[] = "/dev/shm";
constexpr size_t kMaxNameBytes = 200;

// The prefix keeps the objects apart from those of shm_open(3) and sem_open(3), and makes "." and ".." ordinary names.
absl::StatusOr<std::string> PathOf(std::string_view name) {
  const std::string_view bare = name.substr(!name.empty() && name.front() == '/' ? 1 : 0);
  if (bare.empty() || bare.size() > kMaxNameBytes || bare.find('/') != bare.npos ||
      bare.find('\0') != bare.npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the name \"", absl::CHexEscape(bare.substr(0, kMaxNameBytes)), "\" of a shared object has not 1 to ",
        kMaxNameBytes, " bytes, or a '/' or NUL among them"));
  }
  return absl::StrCat(kFolder, "/ko.", bare);
}

absl::Status Failure(int error_number, std::string_view operation, std::string_view object) {
  absl::Status status = ErrnoStatus(error_number, operation, object);
  if (error_number == ENOSPC || error_number == EFBIG || error_number == ENOMEM) {
    return absl::ResourceExhaustedError(status.message());
  }
  if (error_number == ELOOP) return absl::PermissionDeniedError(status.message());  // a symbolic link
  return status;
}

absl::Status CheckOwned(const struct stat& facts, const std::string& path) {
  if (!S_ISREG(facts.st_mode))
    return absl::PermissionDeniedError(absl::StrCat(path, ": not an ordinary file"));
  if (facts.st_uid != ::geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(path, ": it belongs to user ", facts.st_uid));
  }
  if ((facts.st_mode & 077) != 0)
    return absl::PermissionDeniedError(absl::StrCat(path, ": others may use it"));
  return absl::OkStatus();
}

// As linkat(2) does. By the file's own name in /proc, which anybody may, and where there is no /proc by its descriptor, for
// which most kernels ask for CAP_DAC_READ_SEARCH.
int GiveName(int file, const std::string& path) {
  const std::string source = absl::StrCat("/proc/self/fd/", file);
  const int linked = ::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  return linked == 0 || errno != ENOENT ? linked : ::linkat(file, "", AT_FDCWD, path.c_str(), AT_EMPTY_PATH);
}

}  // namespace

absl::StatusOr<SharedMapping> CreateNamedMapping(std::string_view name, size_t bytes,
                                                 absl::FunctionRef<void(void*)> initialize) {
  absl::StatusOr<std::string> path = PathOf(name);
  if (!path.ok()) return path.status();
  const UniqueFd file(::open(kFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) return Failure(errno, "open", absl::StrCat("O_TMPFILE in ", kFolder));
  // open(2) takes the umask off.
  if (::fchmod(file.get(), 0600) == -1) return Failure(errno, "fchmod", *path);
  if (GrowFile([&] { return ::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)); }) == -1) {
    return Failure(errno, "fallocate", absl::StrCat(bytes, " bytes for ", *path));
  }
  absl::StatusOr<SharedMapping> mapping = SharedMapping::OfFile(file.get(), bytes);
  if (!mapping.ok()) return mapping.status();
  initialize(mapping->data());
  if (GiveName(file.get(), *path) == -1) return Failure(errno, "linkat", *path);
  return mapping;
}

absl::StatusOr<SharedMapping> OpenNamedMapping(std::string_view name, size_t least_bytes) {
  absl::StatusOr<std::string> path = PathOf(name);
  if (!path.ok()) return path.status();
  // Not to wait for the other end of a pipe somebody has put there.
  const UniqueFd file(::open(path->c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return Failure(errno, "open", *path);
  struct stat facts;
  if (::fstat(file.get(), &facts) == -1) return Failure(errno, "fstat", *path);
  if (absl::Status status = CheckOwned(facts, *path); !status.ok()) return status;
  const auto bytes = static_cast<size_t>(facts.st_size);
  if (bytes < least_bytes || bytes == 0) {
    return absl::DataLossError(absl::StrCat(*path, ": ", bytes, " bytes are too few"));
  }
  return SharedMapping::OfFile(file.get(), bytes);
}

absl::Status UnlinkNamedMapping(std::string_view name) {
  absl::StatusOr<std::string> path = PathOf(name);
  if (!path.ok()) return path.status();
  struct stat facts;
  if (::lstat(path->c_str(), &facts) == -1) return Failure(errno, "lstat", *path);
  if (facts.st_uid != ::geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(*path, ": it belongs to user ", facts.st_uid));
  }
  if (::unlink(path->c_str()) == -1) return Failure(errno, "unlink", *path);
  return absl::OkStatus();
}

}  // namespace ko::os
