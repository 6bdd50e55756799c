#include "ko/process/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko {
namespace {

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

absl::Status NoAddress(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("Listen(", text, "): ", why));
}

absl::StatusOr<os::UniqueFd> OpenSocket(int family, std::string_view text) {
  os::UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return os::ErrnoStatus(errno, "socket", text);
  return fd;
}

absl::Status BindAndListen(int fd, const SocketAddress& address, size_t size, std::string_view text) {
  if (::bind(fd, &address.any, static_cast<socklen_t>(size)) != 0) {
    return os::ErrnoStatus(errno, "bind", text);
  }
  return ::listen(fd, SOMAXCONN) == 0 ? absl::OkStatus() : os::ErrnoStatus(errno, "listen", text);
}

// --- TCP ---

absl::StatusOr<in_port_t> ParsePort(std::string_view digits, std::string_view text) {
  uint32_t port;
  const bool is_number = !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
                         absl::SimpleAtoi(digits, &port) && port <= 65535;
  if (!is_number) return NoAddress(text, "its port is not a number of 0 to 65535");
  return htons(static_cast<in_port_t>(port));
}

absl::StatusOr<os::UniqueFd> ListenTcp(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return NoAddress(text, "no host:port, no path and no @name");
  absl::StatusOr<in_port_t> port = ParsePort(text.substr(colon + 1), text);
  if (!port.ok()) return port.status();
  std::string host(text.substr(0, colon));

  SocketAddress address = {};
  address.v6.sin6_port = *port;
  const bool any = host.empty();
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  absl::StatusOr<os::UniqueFd> fd;
  if (any) {
    fd = OpenSocket(AF_INET6, text);
    address.v6.sin6_family = AF_INET6;  // and the address of zeros
    if (!fd.ok()) {                     // a kernel without IPv6
      fd = OpenSocket(AF_INET, text);
      address.v4.sin_family = AF_INET;
    }
  } else if (bracketed && ::inet_pton(AF_INET6, host.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    fd = OpenSocket(AF_INET6, text);
  } else if (!bracketed && ::inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    fd = OpenSocket(AF_INET, text);
  } else {
    return NoAddress(text, "its host is no numeric address; IPv6 stands in brackets");
  }
  if (!fd.ok()) return fd;

  const int on = 1, v6_only = any ? 0 : 1;
  if (::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return os::ErrnoStatus(errno, "setsockopt(SO_REUSEADDR)", text);
  }
  const bool is_v6 = address.any.sa_family == AF_INET6;
  if (is_v6 && ::setsockopt(fd->get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) != 0) {
    return os::ErrnoStatus(errno, "setsockopt(IPV6_V6ONLY)", text);
  }
  const size_t size = is_v6 ? sizeof address.v6 : sizeof address.v4;
  if (absl::Status bound = BindAndListen(fd->get(), address, size, text); !bound.ok()) return bound;
  return fd;
}

// --- Unix sockets ---

// The folder locked against others who do the same, as long as it is open: between looking whether a socket is
// dead and taking its place nobody else may.
absl::StatusOr<os::UniqueFd> LockFolderOf(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  os::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return os::ErrnoStatus(errno, "open", folder);
  if (os::RetryEintr([&] { return ::flock(fd.get(), LOCK_EX); }) != 0) {
    return os::ErrnoStatus(errno, "flock", folder);
  }
  return fd;
}

void RemoveIfDead(const std::string& path, const SocketAddress& address, size_t size) {
  struct stat file;
  if (::lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return;
  const os::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return;
  const bool dead =
      ::connect(probe.get(), &address.any, static_cast<socklen_t>(size)) != 0 && errno == ECONNREFUSED;
  if (dead) ::unlink(path.c_str());
}

absl::StatusOr<os::UniqueFd> ListenLocal(std::string_view text) {
  SocketAddress address = {};
  address.local.sun_family = AF_UNIX;
  const bool abstract = text.front() == '@';
  // A path needs a NUL byte after it; an abstract name has one instead of the '@'.
  if (text.size() + (abstract ? 0 : 1) > sizeof address.local.sun_path || (abstract && text.size() == 1)) {
    return NoAddress(text, absl::StrCat("a name of ", text.size(), " bytes does not fit a socket's address"));
  }
  if (text.find('\0') != std::string_view::npos) return NoAddress(text, "it has a NUL byte");
  std::memcpy(address.local.sun_path, text.data(), text.size());
  if (abstract) address.local.sun_path[0] = '\0';
  const size_t size = offsetof(sockaddr_un, sun_path) + text.size() + (abstract ? 0 : 1);

  absl::StatusOr<os::UniqueFd> fd = OpenSocket(AF_UNIX, text);
  if (!fd.ok()) return fd;
  os::UniqueFd lock;
  if (!abstract) {
    const std::string path(text);
    absl::StatusOr<os::UniqueFd> locked = LockFolderOf(path);
    if (!locked.ok()) return locked.status();
    lock = *std::move(locked);
    RemoveIfDead(path, address, size);
  }
  if (absl::Status bound = BindAndListen(fd->get(), address, size, text); !bound.ok()) return bound;
  return fd;
}

}  // namespace

absl::StatusOr<os::UniqueFd> Listen(std::string_view address) {
  if (address.empty()) return NoAddress(address, "it is empty");
  const bool local = address.front() == '@' || address.find('/') != std::string_view::npos;
  return local ? ListenLocal(address) : ListenTcp(address);
}

}  // namespace ko
