#include "ko/soak/chaos.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace ko::soak {

Process Chaos::Victim() {
  const int slots = pool_.size();
  const auto index = absl::Uniform<size_t>(random_, 0, victims_.size() + static_cast<size_t>(slots));
  return index < victims_.size() ? victims_[index] : pool_.worker(static_cast<int>(index - victims_.size()));
}

void Chaos::Strike(absl::Time now) {
  ContinueUntil(now);
  Process victim = Victim();
  if (victim.pid() == 0) return;
  const int what = absl::Uniform(random_, 0, 100);
  if (what < 50) {
    world_.MarkKilled(victim.pid(), true);
    if (victim.Kill(SIGKILL).ok()) ++counts_.kills;
  } else if (what < 80) {
    if (!victim.Kill(SIGSTOP).ok()) return;
    ++counts_.stops;
    stopped_.push_back({victim, now + absl::Milliseconds(absl::Uniform(random_, 1, 30))});
  } else if (what < 96) {
    if (victim.Kill(SIGTERM).ok()) ++counts_.terms;
  } else if (what < 99) {
    if (pool_.Resize(absl::Uniform(random_, 1, 5)).ok()) ++counts_.resizes;
  } else {
    if (pool_.BeginRollingRestart({.observe = absl::ZeroDuration()}).ok()) ++counts_.roll_outs;
  }
}

void Chaos::ContinueUntil(absl::Time now) {
  std::erase_if(stopped_, [now](Stopped& stopped) {
    if (stopped.until > now) return false;
    stopped.process.Kill(SIGCONT).IgnoreError();
    return true;
  });
}

void Chaos::End() { ContinueUntil(absl::InfiniteFuture()); }

}  // namespace ko::soak
