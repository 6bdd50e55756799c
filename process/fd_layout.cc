#include "ko/process/fd_layout.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ko {
namespace {

constexpr int kFirst = 3;
constexpr int kEnd = 1 << 30;          // beyond any limit of the kernel's
constexpr size_t kMaxNameBytes = 255;  // systemd's own

absl::Status Invalid(std::string_view field, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("Exec: ", field, ": ", what));
}

bool IsFdName(std::string_view name) {
  return name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isprint(c) && c != ':';
         });
}

bool IsVariable(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return c != '=' && c != '\0'; });
}

absl::Status Check(const ListenFd& fd) {
  if (fd.fd < 0) return Invalid("listen_fds", absl::StrCat(fd.fd, " is no descriptor"));
  if (!IsFdName(fd.name)) return Invalid("listen_fds", absl::StrCat("\"", fd.name, "\" cannot be a name"));
  return absl::OkStatus();
}

absl::Status Check(const InheritedFd& fd) {
  if (fd.fd < 0) return Invalid("fds", absl::StrCat(fd.fd, " is no descriptor"));
  if (fd.number != -1 && fd.number < kFirst) {
    return Invalid("fds", absl::StrCat("number ", fd.number, " is below 3"));
  }
  if (fd.number >= kEnd) return Invalid("fds", absl::StrCat("number ", fd.number, " is beyond any limit"));
  if (!IsVariable(fd.variable)) return Invalid("fds", "a variable's name has a '=' or a NUL byte");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FdLayout> LayOutFds(absl::Span<const ListenFd> listen_fds, absl::Span<const InheritedFd> fds) {
  std::map<int, int> sources;  // by target
  FdLayout layout;
  std::vector<std::string_view> names;
  for (const ListenFd& each : listen_fds) {
    if (absl::Status ok = Check(each); !ok.ok()) return ok;
    sources.emplace(kFirst + static_cast<int>(sources.size()), each.fd);
    names.push_back(each.name.empty() ? "unknown" : std::string_view(each.name));
  }
  if (!listen_fds.empty()) {
    layout.environment.push_back(absl::StrCat("LISTEN_FDS=", listen_fds.size()));
    layout.environment.push_back(absl::StrCat("LISTEN_FDNAMES=", absl::StrJoin(names, ":")));
  }
  for (const InheritedFd& each : fds) {
    if (absl::Status ok = Check(each); !ok.ok()) return ok;
    if (each.number != -1 && !sources.emplace(each.number, each.fd).second) {
      return Invalid("fds", absl::StrCat("number ", each.number, " is taken twice"));
    }
  }
  int free = kFirst;
  for (const InheritedFd& each : fds) {
    int number = each.number;
    if (number == -1) {
      while (sources.contains(free)) ++free;
      sources.emplace(number = free, each.fd);
    }
    if (!each.variable.empty()) layout.environment.push_back(absl::StrCat(each.variable, "=", number));
  }
  for (const auto& [target, source] : sources) layout.places.push_back({source, target});
  return layout;
}

}  // namespace ko
