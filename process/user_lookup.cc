#include "ko/process/user_lookup.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ko/os/errno_status.h"

namespace ko {
namespace {

constexpr size_t kMaxEntryBytes = 16 << 20;

// What is all digits is a number, as in chown(1). The greatest one means "leave it" to the kernel.
bool IsNumber(std::string_view text) { return std::all_of(text.begin(), text.end(), absl::ascii_isdigit); }

absl::StatusOr<uint32_t> ParseId(std::string_view kind, std::string_view text) {
  uint32_t id;
  if (absl::SimpleAtoi(text, &id) && id != std::numeric_limits<uint32_t>::max()) return id;
  return absl::InvalidArgumentError(absl::StrCat("Exec: ", text, " is no number of a ", kind));
}

// Runs one of getpwnam_r(3)'s family with as much room as it asks for. False where there is no such entry.
template <class Entry, class Get>
absl::StatusOr<bool> Find(std::string_view kind, std::string_view key, Entry& entry, std::vector<char>& room,
                          Get get) {
  for (room.resize(4096);; room.resize(room.size() * 2)) {
    Entry* found = nullptr;
    const int error_number = get(&entry, room.data(), room.size(), &found);
    if (error_number == ERANGE && room.size() < kMaxEntryBytes) continue;
    if (error_number == EINTR) continue;
    if (found != nullptr) return true;
    // What different sources answer for "no such entry".
    for (const int none : {0, ENOENT, ESRCH, EBADF, EPERM}) {
      if (error_number == none) return false;
    }
    return os::ErrnoStatus(error_number, absl::StrCat("looking up ", kind), key);
  }
}

absl::StatusOr<gid_t> LookUpGroup(const std::string& group) {
  if (group.empty()) return absl::InvalidArgumentError("Exec: a group's name is empty");
  if (IsNumber(group)) return ParseId("group", group);
  struct group entry;
  std::vector<char> room;
  absl::StatusOr<bool> found =
      Find("group", group, entry, room, [&](auto... out) { return ::getgrnam_r(group.c_str(), out...); });
  if (!found.ok()) return found.status();
  if (!*found) return absl::NotFoundError(absl::StrCat("Exec: there is no group \"", group, "\""));
  return entry.gr_gid;
}

// What initgroups(3) would set.
std::vector<gid_t> DatabaseGroups(const char* user, gid_t gid) {
  std::vector<gid_t> groups(32);
  for (;;) {
    auto count = static_cast<int>(groups.size());
    const bool fits = ::getgrouplist(user, gid, groups.data(), &count) >= 0;
    groups.resize(fits ? static_cast<size_t>(count) : std::max<size_t>(count, 2 * groups.size()));
    if (fits) return groups;
  }
}

void Complete(UserIds& ids) {
  std::vector<gid_t>& groups = ids.groups;
  groups.push_back(ids.gid);
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
}

absl::StatusOr<std::vector<gid_t>> OwnGroups() {
  for (;;) {
    const int count = ::getgroups(0, nullptr);
    if (count < 0) return os::ErrnoStatus(errno, "getgroups");
    std::vector<gid_t> groups(static_cast<size_t>(count));
    const int got = ::getgroups(count, groups.data());
    if (got < 0 && errno == EINVAL) continue;  // another thread has added some
    if (got < 0) return os::ErrnoStatus(errno, "getgroups");
    groups.resize(static_cast<size_t>(got));
    return groups;
  }
}

// The user with what the database says about it, but for a group that is given.
absl::Status TakeUser(const std::string& user, std::optional<gid_t> group, UserIds& ids) {
  passwd entry;
  std::vector<char> room;
  absl::StatusOr<bool> found = false;
  if (IsNumber(user)) {
    absl::StatusOr<uid_t> uid = ParseId("user", user);
    if (!uid.ok()) return uid.status();
    ids.uid = *uid;
    found = Find("user", user, entry, room, [&](auto... out) { return ::getpwuid_r(ids.uid, out...); });
  } else {
    found = Find("user", user, entry, room, [&](auto... out) { return ::getpwnam_r(user.c_str(), out...); });
  }
  if (!found.ok()) return found.status();
  if (*found) {
    ids.uid = entry.pw_uid;
    ids.gid = group.value_or(entry.pw_gid);
    ids.groups = DatabaseGroups(entry.pw_name, ids.gid);
    return absl::OkStatus();
  }
  if (!IsNumber(user)) return absl::NotFoundError(absl::StrCat("Exec: there is no user \"", user, "\""));
  ids.groups.clear();
  if (group.has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("Exec: user ", user, " is not in the user database, so a group has to be given, too"));
}

}  // namespace

absl::StatusOr<std::optional<UserIds>> OwnUserIds() {
  uid_t uids[3];
  gid_t gids[3];
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0) return os::ErrnoStatus(errno, "getresuid");
  if (::getresgid(&gids[0], &gids[1], &gids[2]) != 0) return os::ErrnoStatus(errno, "getresgid");
  for (const int i : {0, 2}) {
    if (uids[i] != uids[1] || gids[i] != gids[1]) return std::nullopt;
  }
  absl::StatusOr<std::vector<gid_t>> groups = OwnGroups();
  if (!groups.ok()) return groups.status();
  UserIds ids{uids[1], gids[1], *std::move(groups)};
  Complete(ids);
  return ids;
}

absl::StatusOr<UserIds> LookUpUser(const std::string& user, const std::string& group,
                                   const std::optional<std::vector<std::string>>& supplementary_groups) {
  absl::StatusOr<std::vector<gid_t>> own_groups = OwnGroups();
  if (!own_groups.ok()) return own_groups.status();
  UserIds ids{::geteuid(), ::getegid(), *std::move(own_groups)};
  std::optional<gid_t> given_gid;
  if (!group.empty()) {
    absl::StatusOr<gid_t> gid = LookUpGroup(group);
    if (!gid.ok()) return gid.status();
    given_gid = ids.gid = *gid;
  }
  if (!user.empty()) {
    if (absl::Status taken = TakeUser(user, given_gid, ids); !taken.ok()) return taken;
  }
  if (supplementary_groups.has_value()) {
    ids.groups.clear();
    for (const std::string& each : *supplementary_groups) {
      absl::StatusOr<gid_t> gid = LookUpGroup(each);
      if (!gid.ok()) return gid.status();
      ids.groups.push_back(*gid);
    }
  }
  Complete(ids);
  return ids;
}

}  // namespace ko
