#include "ko/os/process_tree.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "ko/os/pidfd.h"
#include "ko/os/process_stat.h"
#include "ko/os/unique_fd.h"

namespace ko::os {
namespace {

// Looks at all processes that a SIGKILL takes at most; two find a tree that does not fork, and a third that
// nothing came after.
constexpr int kMaxLooks = 100;
// How often the processor is left to processes that have been told to stop. One that waits for its vfork stops
// only afterwards, and does not fork meanwhile.
constexpr int kMaxYields = 100;

bool LacksDescriptors(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM;
}

bool IsStopped(char letter) { return letter == 'T' || letter == 't' || letter == 'Z' || letter == 'X'; }

class ProcessTrees {
 public:
  explicit ProcessTrees(absl::Span<const pid_t> leaders) : self_(::getpid()), own_group_(::getpgrp()) {
    for (const pid_t leader : leaders) {
      if (leader > 1) leaders_.insert(leader);
    }
  }

  // Sends `signo` to those that there are at one moment: what a process starts to clean up, because of the
  // signal, is left alone.
  int Signal(int signo) {
    std::vector<ProcessStat> others, members;
    Look([&](const ProcessStat& stat) { others.push_back(stat); });
    for (size_t known = 1; known != members.size();) {  // a child can have a lower pid than its parent
      known = members.size();
      std::erase_if(others, [&](const ProcessStat& stat) {
        const bool taken = TakeIfMember(stat);
        if (taken) members.push_back(stat);
        return taken;
      });
    }
    int count = 0;
    for (const ProcessStat& member : members) count += Send(member, signo) ? 1 : 0;
    return count;
  }

  int Kill() {
    int count = 0;
    for (int look = 0; look < kMaxLooks; ++look) {
      const std::vector<ProcessStat> found = StopNewOnes();
      for (const ProcessStat& each : found) AwaitStop(each);
      if (!found.empty()) continue;
      const int killed = KillStopped();
      if (killed == 0) return count;
      count += killed;
    }
    return count + KillStopped();
  }

  // Whether there was a descriptor for everything.
  bool complete() const { return complete_; }

 private:
  struct Member {
    uint64_t start_time_ticks;
    bool killed = false;
  };

  // Every other process that has not ended.
  void Look(absl::FunctionRef<void(const ProcessStat&)> visit) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
    if (folder == nullptr) {
      complete_ = false;
      return;
    }
    while (const dirent* entry = ::readdir(folder.get())) {
      const pid_t pid = std::atoi(entry->d_name);  // 0 for what is no number
      if (pid <= 1 || pid == self_) continue;
      const std::optional<ProcessStat> stat = Read(pid);
      if (stat.has_value() && !stat->HasEnded()) visit(*stat);
    }
  }

  std::optional<ProcessStat> Read(pid_t pid) {
    std::optional<ProcessStat> stat = ReadProcessStat(pid);
    if (!stat.has_value() && LacksDescriptors(errno)) complete_ = false;
    return stat;
  }

  bool TakeIfMember(const ProcessStat& stat) {
    if (!IsMember(stat)) return false;
    members_[stat.pid] = {stat.start_time_ticks};
    return true;
  }

  bool IsMember(const ProcessStat& stat) {
    if (leaders_.contains(stat.session)) return true;
    // One that has been forked and has not made its session yet.
    if (leaders_.contains(stat.pid) && stat.parent == self_) return true;
    const auto parent = members_.find(stat.parent);
    if (parent == members_.end()) return false;
    const std::optional<ProcessStat> now = Read(stat.parent);
    return now.has_value() && now->start_time_ticks == parent->second.start_time_ticks;
  }

  bool Send(const ProcessStat& seen, int signo) { return Send(seen.pid, seen.start_time_ticks, signo); }
  bool Send(pid_t pid, uint64_t start_time_ticks, int signo) {
    const UniqueFd pidfd = OpenPidfd(pid);
    if (!pidfd.valid()) {
      if (LacksDescriptors(errno)) complete_ = false;
      return false;
    }
    // Read with the pidfd open: where this is the one that was seen, so is what the pidfd names.
    const std::optional<ProcessStat> now = Read(pid);
    return now.has_value() && now->start_time_ticks == start_time_ticks && !now->HasEnded() &&
           SendSignal(pidfd.get(), signo) == 0;
  }

  // Each is stopped in the moment in which it is seen, so that one that does nothing but fork and end is hit.
  std::vector<ProcessStat> StopNewOnes() {
    std::vector<ProcessStat> found;
    Look([&](const ProcessStat& stat) {
      const auto known = members_.find(stat.pid);
      const bool is_known =
          known != members_.end() && known->second.start_time_ticks == stat.start_time_ticks;
      if (is_known ? known->second.killed || StaysStopped(stat) : !TakeIfMember(stat)) return;
      if (!Send(stat, SIGSTOP)) return;
      found.push_back(stat);
      StopGroup(stat);
    });
    return found;
  }

  // Where the parent of stopped processes ends, the kernel may let them go on (SIGHUP, SIGCONT). D is one that
  // has yet to stop, see kMaxYields.
  static bool StaysStopped(const ProcessStat& member) {
    return IsStopped(member.letter) || member.letter == 'D';
  }

  // The kernel signals a group at one moment, a child that is being forked included. The stopped member keeps
  // the group's number from being used anew. A group of the session has no member that is not of the session.
  void StopGroup(const ProcessStat& member) {
    const pid_t group = member.process_group;
    if (group <= 1 || group == own_group_ || !leaders_.contains(member.session)) return;
    if (groups_.insert(group).second) ::kill(-group, SIGSTOP);
  }

  // A fork that is under way when the signal is sent is done before the stop.
  void AwaitStop(const ProcessStat& member) {
    for (int yields = 0; yields < kMaxYields; ++yields) {
      const std::optional<ProcessStat> now = Read(member.pid);
      if (!now.has_value() || now->start_time_ticks != member.start_time_ticks) return;
      if (IsStopped(now->letter)) {
        if (now->threads <= 1) return;
        const std::vector<char> letters = ReadThreadLetters(member.pid);
        if (std::all_of(letters.begin(), letters.end(), IsStopped)) return;
      }
      ::sched_yield();
    }
  }

  // Children before their parents, whose end could let them go on. How many there were.
  int KillStopped() {
    std::vector<std::pair<uint64_t, pid_t>> stopped;
    for (const auto& [pid, member] : members_) {
      if (!member.killed) stopped.emplace_back(member.start_time_ticks, pid);
    }
    std::sort(stopped.begin(), stopped.end(), std::greater<>());
    int count = 0;
    for (const auto& [start_time_ticks, pid] : stopped) {
      members_[pid].killed = Send(pid, start_time_ticks, SIGKILL);
      count += members_[pid].killed ? 1 : 0;
    }
    return count;
  }

  const pid_t self_;
  const pid_t own_group_;
  absl::flat_hash_set<pid_t> leaders_;
  absl::flat_hash_map<pid_t, Member> members_;
  absl::flat_hash_set<pid_t> groups_;  // that have been stopped
  bool complete_ = true;
};

int SignalGroups(absl::Span<const pid_t> leaders, int signo) {
  int count = 0;
  for (const pid_t leader : leaders) {
    if (leader > 1 && leader != ::getpgrp() && ::kill(-leader, signo) == 0) ++count;
  }
  return count;
}

}  // namespace

int SignalSession(pid_t leader, int signo) { return SignalSessions({&leader, 1}, signo); }

int SignalSessions(absl::Span<const pid_t> leaders, int signo) {
  if (!ProcIsOurs()) return SignalGroups(leaders, signo);
  ProcessTrees trees(leaders);
  const int count = signo == SIGKILL ? trees.Kill() : trees.Signal(signo);
  // Some programs take a second SIGTERM for impatience, so those that got it do not get it again.
  if (trees.complete() || (signo != SIGKILL && count > 0)) return count;
  return std::max(count, SignalGroups(leaders, signo));
}

}  // namespace ko::os
