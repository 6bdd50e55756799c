#include "ko/testing/read_all.h"

#include <fcntl.h>
#include <unistd.h>

#include "ko/os/errno_status.h"
#include "ko/os/unique_fd.h"

namespace ko::testing {

std::string ReadAll(int fd) {
  std::string all;
  char buffer[4096];
  for (;;) {
    const ssize_t size = os::RetryEintr([&] { return ::read(fd, buffer, sizeof buffer); });
    if (size <= 0) return all;
    all.append(buffer, static_cast<size_t>(size));
  }
}

std::string ReadFile(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd.valid() ? ReadAll(fd.get()) : std::string();
}

}  // namespace ko::testing
