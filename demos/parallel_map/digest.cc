#include "demos/parallel_map/digest.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/crc/crc32c.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ko::demos {

absl::StatusOr<Digest> DigestFile(const std::string& path, bool crash) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open(", path, ")"));
  const absl::Cleanup close = [fd] { ::close(fd); };
  if (crash) ::raise(SIGKILL);

  Digest digest;
  absl::crc32c_t crc(0);
  bool in_word = false;
  std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("read(", path, ")"));
    if (size == 0) break;
    const std::string_view piece(buffer.data(), static_cast<size_t>(size));
    crc = absl::ExtendCrc32c(crc, piece);
    digest.bytes += piece.size();
    for (const char c : piece) {
      const bool space = absl::ascii_isspace(static_cast<unsigned char>(c));
      digest.lines += c == '\n' ? 1 : 0;
      digest.words += !space && !in_word ? 1 : 0;
      in_word = !space;
    }
  }
  digest.crc32c = static_cast<uint32_t>(crc);
  return digest;
}

}  // namespace ko::demos
